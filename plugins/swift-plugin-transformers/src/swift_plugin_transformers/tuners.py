"""Tuners that train the model's own weights: all of them (`full`) or some (`freeze`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError, UsageError, suggestion

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract.specs import ModelFamily
    from swift_plugin_transformers.options import FreezeOptions


class FullTuner:
    """Every weight learns, and the checkpoint is a whole model."""

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the weights that learn trainable and freeze the rest.

        Raises:
            UsageError: the model is quantized, whose weights can't be trained; or nothing would learn.
        """
        if getattr(model, "is_quantized", False):
            raise UsageError(
                "the weights of a quantized model can't be trained",
                where="tuner",
                hint="Train an adapter (--tuner qlora), or load it unquantized.",
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.learns(name, family, model))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError("nothing is left that learns", where="tuner", hint="Freeze less.")
        return model.train()

    def learns(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Whether the weight of that name learns."""
        return True

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Put the weights that `save` wrote into the model. `name` means nothing here: there is only one set of weights."""
        own: Any = type(model)
        saved, info = own.from_pretrained(folder, dtype=model.dtype, local_files_only=True, use_safetensors=True, output_loading_info=True)
        if info["missing_keys"]:
            raise SwiftError(
                f"the checkpoint lacks {', '.join(sorted(info['missing_keys'])[:5])}", where=str(folder), hint="Was it saved whole?"
            )
        model.load_state_dict(saved.state_dict())
        return model.train(trainable)

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """One group: all that learns."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write the whole model as safetensors, frozen weights too, in the type it was trained in."""
        whole: Any = model
        whole.save_pretrained(folder, state_dict=dict(weights) if weights else None)

    def merge(self, model: Module) -> Module:
        """There is no adapter to fold in: the model as it is."""
        return model


class FreezeTuner(FullTuner):
    """Some weights learn; the checkpoint is a whole model all the same."""

    def __init__(self, options: FreezeOptions) -> None:
        self.options = options

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """As for `full`; raises UsageError for a prefix or an expression that names no weight."""
        names = [name for name, _ in model.named_parameters()]
        for field in ("train", "freeze"):
            for prefix in getattr(self.options, field):
                if not any(starts_with(name, prefix) for name in names):
                    if twin := _twin(prefix, model):
                        message = f"'{prefix}' has no weight of its own: it shares '{twin}'"
                        raise UsageError(message, where=f"tuner.{field}", hint=f"Name {twin}: the two are one, and learn as one.")
                    raise UsageError(
                        f"no weight starts with '{prefix}'",
                        where=f"tuner.{field}",
                        hint=suggestion(prefix, prefixes(names)) or f"Weights: {', '.join(names[:3])}, …",
                    )
        for field in ("train_regex", "freeze_regex"):
            pattern = getattr(self.options, field)
            if pattern and not any(_search(pattern, name, field) for name in names):
                raise UsageError(
                    f"'{pattern}' is found in no weight's name", where=f"tuner.{field}", hint=f"Weights: {', '.join(names[:3])}, …"
                )
        return super().attach(model, family)

    def learns(self, name: str, family: ModelFamily, model: Module) -> bool:
        """See `FreezeOptions`."""
        options = self.options
        wanted = [*options.train, *_last_blocks(model, family, options.last_blocks)]
        chosen = not wanted and not options.train_regex
        chosen = chosen or any(starts_with(name, prefix) for prefix in wanted) or _search(options.train_regex, name, "train_regex")
        frozen = any(starts_with(name, prefix) for prefix in options.freeze) or _search(options.freeze_regex, name, "freeze_regex")
        return chosen and not frozen


def starts_with(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix` or below it: `model.layers.1` is not the start of `model.layers.10.mlp`."""
    return f"{name}.".startswith(f"{prefix.rstrip('.')}.")


def prefixes(names: list[str]) -> set[str]:
    """Every dotted prefix of the names."""
    return {".".join(parts[: length + 1]) for parts in (name.split(".") for name in names) for length in range(len(parts))}


def _twin(prefix: str, model: Module) -> str:
    """The first name of a weight that is known by another one under `prefix` too."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return next((first[id(parameter)] for name, parameter in every if starts_with(name, prefix)), "")


def _search(pattern: str, name: str, field: str) -> bool:
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error as error:
        raise UsageError(f"not a regular expression: {error}", where=f"tuner.{field}", hint=r"Example: '\.mlp\.'") from None


def _last_blocks(model: Module, family: ModelFamily, count: int) -> list[str]:
    if not count:
        return []
    try:
        blocks = len(list(model.get_submodule(family.blocks).children())) if family.blocks else 0
    except AttributeError:
        blocks = 0
    if count > blocks:
        problem = f"the model has {blocks} blocks" if blocks else f"where the blocks of the family '{family.name}' are is unknown"
        raise UsageError(
            problem,
            where="tuner.last_blocks",
            hint="Name the weights with tuner.train instead." if not blocks else f"Give at most {blocks}.",
        )
    return [f"{family.blocks}.{index}" for index in range(blocks - count, blocks)]
