"""Tuners that train the model's own weights: all of them (`full`) or some (`freeze`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swift_train.model_parts import Parts, TrainParts, parts_of
from swift_train.routers import router_weights
from swift_train.tuner_bases import WholeModelTuner

from swift_core.contract import UsageError, suggestion

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily
    from swift_plugin_transformers.options import FreezeOptions


class FullTuner(WholeModelTuner):
    """Trains all weights, but for frozen parts of a vision-language model and frozen routers; the checkpoint is a full model."""

    def __init__(self, options: TrainParts | None = None) -> None:
        self.options = options or TrainParts()
        self._parts, self._routers = Parts(), set[str]()

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the weights trainable; those of frozen parts stay as they are.

        Raises:
            UsageError: as `WholeModelTuner.attach`, and if routers are frozen that the model does not have.
        """
        self._parts = parts_of(model, family)
        if self.options.freeze_router:
            self._routers = router_weights(model)
            if not self._routers:
                hint = "Leave --freeze-router out."
                raise UsageError("the model has no router of experts", code="TUNER-040", where="tuner.freeze_router", hint=hint)
        return super().attach(model, family)

    def is_trainable(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Return whether the weight of that name is in a part that learns."""
        return self._parts.of(name) in self.options.trained and name not in self._routers


class FreezeTuner(WholeModelTuner):
    """Trains some of the weights; the checkpoint is a full model."""

    def __init__(self, options: FreezeOptions) -> None:
        self.options = options

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Make the selected weights trainable and freeze the others.

        Raises:
            UsageError: as for `full`, and if a prefix or a regular expression matches no weight.
        """
        names = [name for name, _ in model.named_parameters()]
        for field in ("train", "freeze"):
            for prefix in getattr(self.options, field):
                if not any(starts_with(name, prefix) for name in names):
                    if tied := _tied_to(prefix, model):
                        message = f"'{prefix}' is tied to '{tied}' and has no weight of its own"
                        raise UsageError(
                            message, code="TUNER-022", where=f"tuner.{field}", hint=f"Use {tied}: tied weights are trained together."
                        )
                    raise UsageError(
                        f"no weight name starts with '{prefix}'",
                        code="TUNER-023",
                        where=f"tuner.{field}",
                        hint=suggestion(prefix, prefixes(names)) or f"Weights: {', '.join(names[:3])}, …",
                    )
        for field in ("train_regex", "freeze_regex"):
            pattern = getattr(self.options, field)
            if pattern and not any(_search(pattern, name, field) for name in names):
                raise UsageError(
                    f"'{pattern}' matches no weight name",
                    code="TUNER-024",
                    where=f"tuner.{field}",
                    hint=f"Weights: {', '.join(names[:3])}, …",
                )
        return super().attach(model, family)

    def is_trainable(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Return whether `FreezeOptions` select the weight of that name."""
        options = self.options
        selected = [*options.train, *_blocks(model, family, options)]
        chosen = not selected and not options.train_regex
        chosen = chosen or any(starts_with(name, prefix) for prefix in selected) or _search(options.train_regex, name, "train_regex")
        frozen = any(starts_with(name, prefix) for prefix in options.freeze) or _search(options.freeze_regex, name, "freeze_regex")
        return chosen and not frozen


def starts_with(name: str, prefix: str) -> bool:
    """Return whether a dotted name is `prefix` or below it; `model.layers.1` is no prefix of `model.layers.10.mlp`."""
    return f"{name}.".startswith(f"{prefix.rstrip('.')}.")


def prefixes(names: list[str]) -> set[str]:
    """Return all dotted prefixes of the names."""
    return {".".join(parts[: length + 1]) for parts in (name.split(".") for name in names) for length in range(len(parts))}


def _tied_to(prefix: str, model: Module) -> str:
    """Return the primary name of the weight that the weight at `prefix` is tied to; empty if there is none."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return next((first[id(parameter)] for name, parameter in every if starts_with(name, prefix)), "")


def _search(pattern: str, name: str, field: str) -> bool:
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error as error:
        raise UsageError(
            f"invalid regular expression: {error}", code="TUNER-006", where=f"tuner.{field}", hint=r"Example: '\.mlp\.'"
        ) from None


def _blocks(model: Module, family: ModelFamily, options: FreezeOptions) -> list[str]:
    """Return the names of the decoder blocks that `last_blocks`, `first_blocks` and `spread_blocks` select."""
    counts = {name: getattr(options, name) for name in ("last_blocks", "first_blocks", "spread_blocks")}
    asked = max(counts, key=lambda name: counts[name])
    if not counts[asked]:
        return []
    try:
        blocks = len(list(model.get_submodule(family.blocks).children())) if family.blocks else 0
    except AttributeError:
        blocks = 0
    if counts[asked] > blocks:
        problem = f"the model has only {blocks} blocks" if blocks else f"the family '{family.name}' does not declare its decoder blocks"
        hint = "Select the weights with tuner.train instead." if not blocks else f"Use at most {blocks}."
        raise UsageError(problem, code="TUNER-025", where=f"tuner.{asked}", hint=hint)
    spread = options.spread_blocks
    if spread and blocks % spread:
        divisors = ", ".join(str(number) for number in range(1, blocks + 1) if blocks % number == 0)
        message = f"{spread} blocks can't be spread evenly over the model's {blocks}"
        raise UsageError(message, code="TUNER-029", where="tuner.spread_blocks", hint=f"Choose one of: {divisors}.")
    last = range(blocks - options.last_blocks, blocks)
    evenly = range(blocks // spread - 1, blocks, blocks // spread) if spread else ()
    return [f"{family.blocks}.{index}" for index in sorted({*range(options.first_blocks), *evenly, *last})]
