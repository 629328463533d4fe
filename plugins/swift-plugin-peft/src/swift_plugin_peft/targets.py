"""Match target names against the modules of the loaded model, by full module path."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from swift_train.heads import is_score
from swift_train.model_parts import LLM, Part, parts_of
from torch import nn
from transformers.pytorch_utils import Conv1D

from swift_core.contract import UsageError, suggestion

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily

_AUTOMATIC = ("auto", "all", "all-linear")


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """The module paths that one target name matches; the name is empty for the automatic choice."""

    name: str
    paths: tuple[str, ...]


def match_targets(
    requested: list[str] | str, model: Module, family: ModelFamily, not_modules: Collection[str] = (),
    *, trained: Collection[Part] = LLM,
) -> list[TargetGroup]:  # fmt: skip
    """Find the modules that `requested` names, by PEFT's rules: full path or path suffix, regular expression, or automatically.

    `auto` selects the family's targets if the model has any, else every linear layer; `all-linear` selects every linear layer except
    the output head. Both stay inside the parts in `trained` of a vision-language model; of its tower and its aligner, every linear layer.
    One of them may stand in a list with names.

    Args:
        requested: the value of `tuner.targets`: a list of names, or one regular expression or automatic choice as a string.
        model: the loaded base model.
        family: its model family.
        not_modules: names in `requested` that do not stand for modules, and are skipped.
        trained: parts of a vision-language model that automatic targets are in.

    Raises:
        UsageError: a name or expression matches no module; the message suggests similar names.
    """
    if isinstance(requested, list) and len(requested) > 1 and (choice := next((name for name in requested if name in _AUTOMATIC), "")):
        rest = [name for name in requested if name not in _AUTOMATIC]
        return [group for part in (choice, rest) for group in match_targets(part, model, family, not_modules, trained=trained)]
    parts = parts_of(model, family)
    start = "" if parts.towers else family.language_model
    linear = [path for path in linear_layers(model) if parts.of(path) in trained and is_below(path, start)]
    if requested == "auto" and (own := [path for path in linear if any(path_ends_with(path, name) for name in family.targets)]):
        return [TargetGroup("", tuple(path for path in linear if path in own or parts.of(path) != "llm"))]
    if requested in _AUTOMATIC or requested in [[name] for name in _AUTOMATIC]:
        if not linear:
            raise UsageError(
                "the model has no linear layer to adapt", code="TUNER-003", where="tuner.targets", hint="Name modules with tuner.targets."
            )
        return [TargetGroup("", tuple(linear))]
    paths = [path for path, _ in model.named_modules() if path]
    if isinstance(requested, str):
        matching = [path for path in paths if _matches(requested, path)]
        return [TargetGroup(requested, _require(requested, matching, model))]
    return [
        TargetGroup(name, _require(name, [path for path in paths if path_ends_with(path, name)], model))
        for name in requested
        if name not in not_modules
    ]


def find_modules_to_save(names: list[str], model: Module) -> list[str]:
    """Return the paths of the named modules and of their submodules.

    Raises:
        UsageError: the model has no module of that name.
    """
    found: list[str] = []
    for name in names:
        matching = [path for path, _ in model.named_modules() if path_ends_with(path, name)]
        found += [path for path, _ in model.named_modules() if any(path == parent or is_below(path, parent) for parent in matching)]
        if not matching:
            known = {path.rpartition(".")[2] for path, _ in model.named_modules()}
            raise UsageError(
                f"'{name}' matches no module",
                code="TUNER-004",
                where="tuner.modules_to_save",
                hint=suggestion(name, known) or "Try embed_tokens, lm_head, norm.",
            )
    return found


def linear_layers(model: Any) -> list[str]:
    """Return the paths of the linear layers, quantized ones included, without the output head."""
    head, packed = model.get_output_embeddings(), bool(getattr(model, "is_quantized", False))
    named = ((path, module) for path, module in model.named_modules() if path and module is not head and not is_score(path, model))
    return [path for path, module in named if _is_linear(module, packed=packed)]


def to_target_modules(paths: list[str], model: Module, language_model: str = "") -> list[str] | str:
    """Express exactly these modules as a short value of PEFT's `target_modules` that serving engines can read too.

    Uses path suffixes that match no other module; below `language_model`, one regular expression; else full paths.
    """
    selected, names = set(paths), [path for path, _ in model.named_modules() if path]
    all_ends, own_ends = _ends(names), _ends(paths)
    found = sorted({next((end for end in _suffixes(path) if all_ends[end] == own_ends[end]), path) for path in paths})
    if language_model and any("." in name for name in found):
        last = "|".join(re.escape(name) for name in sorted({path.rpartition(".")[2] for path in paths}))
        pattern = rf"{re.escape(language_model)}\.(.*\.)?({last})"
        if {name for name in names if re.fullmatch(pattern, name)} == selected:
            return pattern
    return found


def is_below(path: str, prefix: str) -> bool:
    """Return True if a module path is below `prefix`; always if `prefix` is empty."""
    return not prefix or path.startswith(f"{prefix}.")


def path_ends_with(path: str, name: str) -> bool:
    """Return True if `name` is the whole path or its last components."""
    return path == name or path.endswith(f".{name}")


def _is_linear(module: Module, *, packed: bool) -> bool:
    if isinstance(module, Conv1D):
        return True
    if not isinstance(module, nn.Linear):
        return packed and hasattr(module, "in_features") and hasattr(module, "out_features")
    return packed or type(module).forward is nn.Linear.forward or _computes_linearly(module)


@torch.no_grad()
def _computes_linearly(module: nn.Linear) -> bool:
    """Check that a subclass computes what nn.Linear does, so that a low-rank update of its weight changes its output accordingly."""
    inputs = torch.linspace(-1, 1, module.in_features, device=module.weight.device, dtype=module.weight.dtype).expand(1, 2, -1)
    try:
        output = module(inputs)
    except Exception:  # it takes other inputs
        return False
    expected = nn.functional.linear(inputs, module.weight, module.bias)
    if not isinstance(output, torch.Tensor) or output.shape != expected.shape:
        return False
    return output.is_meta or torch.allclose(output.float(), expected.float(), rtol=1e-2, atol=1e-3)


def _require(name: str, paths: list[str], model: Module) -> tuple[str, ...]:
    if paths:
        return tuple(paths)
    kinds = sorted({path.rpartition(".")[2] for path in linear_layers(model)} - set(map(str, range(1000))))
    near = suggestion(name, [*kinds, *(path for path, _ in model.named_modules() if path)])
    message = f"'{name}' matches no layer. {near}".strip()
    raise UsageError(message, code="TUNER-005", where="tuner.targets", hint=f"Linear layers of this model: {', '.join(kinds)}.")


def _matches(pattern: str, path: str) -> bool:
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error as error:
        raise UsageError(
            f"invalid regular expression: {error}", code="TUNER-006", where="tuner.targets", hint=r"Example: '.*layers\.(0|1)\..*_proj'"
        ) from None


def _suffixes(path: str) -> list[str]:
    """Return `q_proj`, `self_attn.q_proj`, …, the full path, without those that start with a block number."""
    parts = path.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1) if not parts[-count].isdigit()]


def _ends(paths: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in paths:
        for end in _suffixes(path):
            counts[end] = counts.get(end, 0) + 1
    return counts
