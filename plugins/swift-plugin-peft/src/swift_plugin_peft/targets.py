"""Which layers an adapter goes to: what the user wrote, or the family says, against the modules that the model has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from swift_core.errors import UsageError, suggestion

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.specs import ModelFamily


def resolve(wanted: list[str] | str, model: Module, family: ModelFamily) -> list[str] | str:
    """The targets in PEFT's terms: last parts of module names, or a regular expression on whole names.

    `auto` are the family's targets that the model has, else every linear layer; `all-linear` every linear layer but the head.
    Both keep to the language model where the family names one.

    Raises:
        UsageError: a name or expression matches no module; the text lists the linear layers.
    """
    linear = linear_layers(model)
    if wanted == "auto" and (known := [name for name in family.targets if any(_ends(layer, name) for layer in linear)]):
        return _within(family, known)
    if wanted in ("auto", "all", "all-linear"):
        inside = [layer for layer in linear if layer.startswith(family.language_model)]
        return _within(family, sorted({layer.rpartition(".")[2] for layer in inside}))
    if isinstance(wanted, str):
        if not any(_matches(wanted, name) for name, _ in model.named_modules()):
            raise unmatched(wanted, linear, "matches no layer")
        return wanted
    for target in wanted:
        if not any(_ends(name, target) for name, _ in model.named_modules()):
            raise unmatched(target, linear, "names no layer")
    return wanted


def check_modules(names: list[str], model: Module) -> None:
    """Refuse modules to save that the model does not have."""
    for wanted in names:
        if not any(_ends(name, wanted) for name, _ in model.named_modules()):
            known = {name.rpartition(".")[2] for name, _ in model.named_modules()}
            raise UsageError(
                f"'{wanted}' names no module",
                where="tuner.modules_to_save",
                hint=suggestion(wanted, known) or "Try embed_tokens, lm_head, norm.",
            )


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers, quantized ones too, without the output head."""
    head = model.get_output_embeddings()
    layers = ((name, module) for name, module in model.named_modules() if name and module is not head)
    return [name for name, module in layers if hasattr(module, "in_features") and hasattr(module, "out_features")]


def unmatched(target: str, linear: list[str], problem: str) -> UsageError:
    """A target that is not there, with what is."""
    kinds = sorted({layer.rpartition(".")[2] for layer in linear})
    return UsageError(
        f"'{target}' {problem}. {suggestion(target, kinds)}".strip(), where="tuner.targets", hint=f"Linear layers here: {', '.join(kinds)}."
    )


def _within(family: ModelFamily, names: list[str]) -> list[str] | str:
    if not family.language_model:
        return names
    return rf"{re.escape(family.language_model)}\.(.*\.)?({'|'.join(map(re.escape, names))})"


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise UsageError(f"not a regular expression: {error}", where="tuner.targets", hint=r"Example: '.*layers\.(0|1)\..*_proj'") from None
