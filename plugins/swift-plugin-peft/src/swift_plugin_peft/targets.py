"""Choose the modules that an adapter goes to, by their whole paths in the loaded model."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from swift_core.errors import UsageError, suggestion

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.specs import ModelFamily

_AUTOMATIC = ("auto", "all", "all-linear")


@dataclass(frozen=True, slots=True)
class Group:
    """Modules, by path, that one name stands for: one the user wrote, or the automatic choice (an empty name)."""

    name: str
    paths: tuple[str, ...]


def choose(wanted: list[str] | str, model: Module, family: ModelFamily, known: Collection[str] = ()) -> list[Group]:
    """Find the modules that `wanted` names, as PEFT does: by whole path or its last parts, by regular expression, or automatically.

    `auto` are the family's targets that the model has, else every linear layer; `all-linear` every linear layer but the head.
    Both keep to the language model where the family names one. `known` are names that stand for something else than modules.

    Raises:
        UsageError: a name or expression matches no module; the text names those that are near.
    """
    linear = [path for path in linear_layers(model) if within(path, family.language_model)]
    if wanted == "auto" and (own := [path for path in linear if any(ends_with(path, name) for name in family.targets)]):
        return [Group("", tuple(own))]
    if wanted in _AUTOMATIC or wanted in ([name] for name in _AUTOMATIC):
        if not linear:
            raise UsageError("the model has no linear layer to adapt", where="tuner.targets", hint="Name modules with tuner.targets.")
        return [Group("", tuple(linear))]
    names = [path for path, _ in model.named_modules() if path]
    if isinstance(wanted, str):
        return [Group(wanted, _found(wanted, [path for path in names if _matches(wanted, path)], model, "matches no layer"))]
    wanted = [name for name in wanted if name not in known]
    return [Group(name, _found(name, [path for path in names if ends_with(path, name)], model, "names no layer")) for name in wanted]


def check_modules(names: list[str], model: Module) -> list[str]:
    """Find the modules to save, and those in them, by path; raises UsageError for a name that the model does not have."""
    found: list[str] = []
    for wanted in names:
        paths = [name for name, _ in model.named_modules() if ends_with(name, wanted)]
        found += [name for name, _ in model.named_modules() if any(name == path or within(name, path) for path in paths)]
        if not paths:
            known = {name.rpartition(".")[2] for name, _ in model.named_modules()}
            raise UsageError(
                f"'{wanted}' names no module",
                where="tuner.modules_to_save",
                hint=suggestion(wanted, known) or "Try embed_tokens, lm_head, norm.",
            )
    return found


def linear_layers(model: Any) -> list[str]:
    """Paths of the linear layers, quantized ones too, without the output head."""
    head, packed = model.get_output_embeddings(), bool(getattr(model, "is_quantized", False))
    return [path for path, module in model.named_modules() if path and module is not head and _is_linear(module, packed=packed)]


def in_peft_terms(paths: list[str], model: Module, language_model: str = "") -> list[str] | str:
    """Name exactly these modules as briefly as PEFT and the serving engines can read it.

    Last parts of names, where they name no other module; below `language_model`, one regular expression; else whole paths.
    """
    chosen, names = set(paths), [path for path, _ in model.named_modules() if path]
    all_ends, own_ends = _ends(names), _ends(paths)
    found = sorted({next((end for end in _suffixes(path) if all_ends[end] == own_ends[end]), path) for path in paths})
    if language_model and any("." in name for name in found):
        last = "|".join(re.escape(name) for name in sorted({path.rpartition(".")[2] for path in paths}))
        pattern = rf"{re.escape(language_model)}\.(.*\.)?({last})"
        if {name for name in names if re.fullmatch(pattern, name)} == chosen:
            return pattern
    return found


def within(path: str, prefix: str) -> bool:
    """Whether a module is below another, or anywhere if `prefix` is empty."""
    return not prefix or path.startswith(f"{prefix}.")


def ends_with(path: str, name: str) -> bool:
    """Whether `name` is the path or its last parts."""
    return path == name or path.endswith(f".{name}")


def _is_linear(module: Module, *, packed: bool) -> bool:
    if isinstance(module, Conv1D):
        return True
    if not isinstance(module, nn.Linear):
        return packed and hasattr(module, "in_features") and hasattr(module, "out_features")
    return packed or type(module).forward is nn.Linear.forward or _computes_linearly(module)


@torch.no_grad()
def _computes_linearly(module: nn.Linear) -> bool:
    """Whether a class of its own computes what nn.Linear does, so that a low-rank update of its weight is one of its outputs."""
    given = torch.linspace(-1, 1, module.in_features, device=module.weight.device, dtype=module.weight.dtype).expand(1, 2, -1)
    try:
        found = module(given)
    except Exception:  # it takes other inputs
        return False
    wanted = nn.functional.linear(given, module.weight, module.bias)
    if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
        return False
    return found.is_meta or torch.allclose(found.float(), wanted.float(), rtol=1e-2, atol=1e-3)


def _found(name: str, paths: list[str], model: Module, problem: str) -> tuple[str, ...]:
    if paths:
        return tuple(paths)
    kinds = sorted({path.rpartition(".")[2] for path in linear_layers(model)} - set(map(str, range(1000))))
    near = suggestion(name, [*kinds, *(path for path, _ in model.named_modules() if path)])
    raise UsageError(f"'{name}' {problem}. {near}".strip(), where="tuner.targets", hint=f"Linear layers here: {', '.join(kinds)}.")


def _matches(pattern: str, path: str) -> bool:
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error as error:
        raise UsageError(f"not a regular expression: {error}", where="tuner.targets", hint=r"Example: '.*layers\.(0|1)\..*_proj'") from None


def _suffixes(path: str) -> list[str]:
    """`q_proj`, `self_attn.q_proj`, …, the whole path; those that begin with a number would say little to a reader."""
    parts = path.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1) if not parts[-count].isdigit()]


def _ends(paths: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in paths:
        for end in _suffixes(path):
            counts[end] = counts.get(end, 0) + 1
    return counts
