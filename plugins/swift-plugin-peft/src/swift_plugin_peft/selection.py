"""Select the modules that an adapter goes to, leaving out those on which it would not learn or could not be merged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peft import PeftConfig
from peft.tuners.lora import LoraModel

from swift_core.errors import UsageError
from swift_plugin_peft.gradient_probe import unreached
from swift_plugin_peft.targets import Group, choose, in_peft_terms
from swift_plugin_peft.tied_weights import check_apart, shared
from swift_plugin_peft.weight_conversions import misread, renamed

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.specs import ModelFamily


@dataclass(frozen=True, slots=True)
class Selection:
    """The targets in PEFT's terms, those of them that share their weight, and what was left out, in words."""

    targets: list[str] | str
    tied: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def select(wanted: list[str] | str, model: Module, family: ModelFamily, method: PeftConfig) -> Selection:
    """Find the modules that `wanted` names, and probe them.

    What was chosen automatically is left out with a remark if it can't learn or can't be merged. What the user named is refused if none
    of the modules that the name stands for can. `method` is PEFT's configuration, without targets.

    Raises:
        UsageError: a name matches no module, or none that can learn; or it shares its weight with others.
    """
    elsewhere = renamed(wanted, model, method) if isinstance(wanted, list) else set()
    groups = choose(wanted, model, family, elsewhere)
    automatic = bool(groups) and not groups[0].name
    chosen = sorted({path for group in groups for path in group.paths})
    left: dict[str, str] = _unfit(chosen, model, method) if automatic else {}
    if not automatic:
        check_apart(model, chosen, "tuner.targets")
    left |= dict.fromkeys(misread(chosen, model, method), "has a name that PEFT reads otherwise when it loads the adapter")
    left |= dict.fromkeys(unreached(model, [path for path in chosen if path not in left]), "gets no gradient from text")
    _check(groups, left)
    tied = tuple(path for path in shared(model) if path in chosen and path not in left)
    if not left and not automatic:
        return Selection(wanted, tied)
    targets = in_peft_terms([path for path in chosen if path not in left], model, family.language_model)
    if elsewhere and isinstance(targets, list):
        targets = sorted({*targets, *elsewhere})
    return Selection(targets, tied, tuple(_remarks(left)))


def _unfit(paths: list[str], model: Any, method: PeftConfig) -> dict[str, str]:
    """Why some modules take no adapter: they share their weight, or PEFT knows that kernels of theirs pass adapters by."""
    others = shared(model)
    found = {path: f"shares its weight with {others[path][0]}" for path in paths if path in others}
    for last in {path.rpartition(".")[2] for path in paths}:
        if reason := _unfit_name(last, model, method):
            found |= {path: reason for path in paths if path.rpartition(".")[2] == last}
    return found


def _unfit_name(last: str, model: Any, method: PeftConfig) -> str:
    try:
        LoraModel._check_target_module_compatiblity(model, method, model, last)
    except ValueError:
        return "is read by a fused kernel of this architecture, which passes adapters by"
    return "has a name that PEFT takes for the fused experts'" if renamed([last], model, method) else ""


def _check(groups: list[Group], left: Mapping[str, str]) -> None:
    for group in groups:
        if all(path in left for path in group.paths):
            path = group.paths[0]
            named = f"'{group.name}'" if group.name else "every linear layer"
            raise UsageError(
                f"{named} can't be adapted: {path} {left[path]}",
                where="tuner.targets",
                hint="Name others, or leave tuner.targets out: the layers that learn are found automatically.",
            )


def _remarks(left: Mapping[str, str]) -> list[str]:
    """One line for each kind of module: its path without the number of its block, and how many there are."""
    kinds: dict[tuple[str, str], int] = {}
    for path, reason in left.items():
        kind = (re.sub(r"\.\d+(?=\.|$)", ".N", path), re.sub(r"\.\d+(?=\.|$)", ".N", reason))
        kinds[kind] = kinds.get(kind, 0) + 1
    return [f"no adapter on {path} ({count}): it {reason}" for (path, reason), count in kinds.items()]
