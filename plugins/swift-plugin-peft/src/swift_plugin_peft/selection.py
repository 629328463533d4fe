"""Select the modules to adapt, excluding those whose adapters would receive no gradient or could not be merged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peft import PeftConfig
from peft.tuners.lora import LoraModel
from swift_train.model_parts import LLM, parts_of
from swift_train.routers import router_weights

from swift_core.contract import UsageError
from swift_plugin_peft.gradient_probe import modules_without_gradient
from swift_plugin_peft.targets import TargetGroup, match_targets, to_target_modules
from swift_plugin_peft.tied_weights import check_can_untie, tied_modules
from swift_plugin_peft.weight_conversions import converted_on_load, names_of_fused_experts

if TYPE_CHECKING:
    from swift_train.model_parts import Part
    from torch.nn import Module

    from swift_core.contract import ModelFamily


@dataclass(frozen=True, slots=True)
class Selection:
    """The modules to adapt.

    `targets` is the value of PEFT's `target_modules`, `tied` are the paths of those whose weight is tied, and `remarks` tell the user
    which modules were excluded and why.
    """

    targets: list[str] | str
    tied: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def select(
    requested: list[str] | str, model: Module, family: ModelFamily, method: PeftConfig, trained: Collection[Part] = LLM
) -> Selection:
    """Find the modules that `requested` names and exclude those that can't be trained or merged.

    If the targets were chosen automatically, unsuitable modules are excluded with a remark. If the user named them, a name is refused
    when none of the modules that it matches is suitable.

    Args:
        requested: the value of `tuner.targets`.
        model: the loaded base model.
        family: its model family.
        method: PEFT's configuration without target modules.
        trained: parts of a vision-language model that automatic targets are in.

    Raises:
        UsageError: a name matches no module, or no module that can be trained, or modules with tied weights.
    """
    expert_names = names_of_fused_experts(requested, model, method) if isinstance(requested, list) else set()
    groups = match_targets(requested, model, family, expert_names, trained=trained)
    automatic = bool(groups) and not groups[0].name
    matched = sorted({path for group in groups for path in group.paths})
    named = {path for group in groups if group.name for path in group.paths}
    excluded: dict[str, str] = _unsuitable([path for path in matched if path not in named], model, method)
    check_can_untie(model, sorted(named), "tuner.targets")
    excluded |= dict.fromkeys(converted_on_load(matched, model, method), "has a name for which PEFT loads the adapter into another module")
    candidates = [path for path in matched if path not in excluded]
    parts = parts_of(model, family)
    of_text = [path for path in candidates if parts.of(path) == "llm"]  # the probe is a row of text
    excluded |= dict.fromkeys(modules_without_gradient(model, of_text), "receives no gradient from text")
    _check_groups(groups, excluded)
    tied = tuple(path for path in tied_modules(model) if path in matched and path not in excluded)
    if not excluded and not automatic:
        return Selection(requested, tied)
    targets = to_target_modules([path for path in matched if path not in excluded], model, family.language_model)
    if expert_names and isinstance(targets, list):
        targets = sorted({*targets, *expert_names})
    return Selection(targets, tied, tuple(_remarks(excluded)))


def _unsuitable(paths: list[str], model: Any, method: PeftConfig) -> dict[str, str]:
    """Map modules that should not be adapted to the reason: a tied weight, a router, or a fused kernel that bypasses adapters."""
    tied = tied_modules(model)
    reasons = {path: f"shares its weight with {tied[path][0]}" for path in paths if path in tied}
    routers = {name.rpartition(".")[0] for name in router_weights(model)}
    reasons |= dict.fromkeys(routers & {*paths}, "is a router of experts")
    for last in {path.rpartition(".")[2] for path in paths}:
        if reason := _unsuitable_name(last, model, method):
            reasons |= {path: reason for path in paths if path.rpartition(".")[2] == last}
    return reasons


def _unsuitable_name(last: str, model: Any, method: PeftConfig) -> str:
    try:
        LoraModel._check_target_module_compatiblity(model, method, model, last)
    except ValueError:
        return "is read directly by a fused kernel of this architecture, which bypasses adapters"
    return "has a name that PEFT takes for fused experts" if names_of_fused_experts([last], model, method) else ""


def _check_groups(groups: list[TargetGroup], excluded: Mapping[str, str]) -> None:
    for group in groups:
        if all(path in excluded for path in group.paths):
            path = group.paths[0]
            named = f"'{group.name}'" if group.name else "every linear layer"
            raise UsageError(
                f"{named} can't be adapted: {path} {excluded[path]}",
                code="TUNER-002",
                where="tuner.targets",
                hint="Name other modules, or omit tuner.targets to select the trainable layers automatically.",
            )


def _remarks(excluded: Mapping[str, str]) -> list[str]:
    """Return one line per kind of module: its path with block numbers replaced by N, and the count."""
    kinds: dict[tuple[str, str], int] = {}
    for path, reason in excluded.items():
        kind = (re.sub(r"\.\d+(?=\.|$)", ".N", path), re.sub(r"\.\d+(?=\.|$)", ".N", reason))
        kinds[kind] = kinds.get(kind, 0) + 1
    return [f"no adapter on {path} ({count}): it {reason}" for (path, reason), count in kinds.items()]
