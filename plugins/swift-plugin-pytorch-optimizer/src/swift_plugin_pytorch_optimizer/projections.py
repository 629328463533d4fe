"""The projections of GaLore and APOLLO in a state of tensors and numbers, which is saved without pickled objects."""

from __future__ import annotations

from typing import Any

from pytorch_optimizer.optimizer.utils.galore import GaLoreProjector

_KEY, _MATRIX = "projector", "ortho_matrix"


def plain_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return an optimizer's `state_dict` with the projections as dictionaries."""
    return {**state, "state": {index: _replaced(values, vars) for index, values in state["state"].items()}}


def with_projectors(state: dict[str, Any]) -> dict[str, Any]:
    """Return what `plain_state` returned with the projections as the library's objects."""
    return {**state, "state": {index: _replaced(values, _projector) for index, values in state["state"].items()}}


def _replaced(values: dict[str, Any], make: Any) -> dict[str, Any]:
    return {key: make(value) if key == _KEY else value for key, value in values.items()}


def _projector(values: dict[str, Any]) -> GaLoreProjector:
    made = GaLoreProjector(**{key: values[key] for key in ("rank", "update_proj_gap", "scale", "projection_type")})
    made.ortho_matrix, made.last_svd_step = values[_MATRIX], values["last_svd_step"]
    return made
