"""Kernels: faster implementations of operations of a model (norms, activations, rotary embeddings), put in place before the first step.

After a set of kernels (`swift_train.kernel_sets`) has been put in place, the losses of a row are compared with those before; if they differ
by more than rounding, the model's own operations are restored. The backward passes of a set are compared by its own tests, not here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_core.contract import Ref, UsageError
from swift_train.kernel_sets import kernel_sets, kernels_named
from swift_train.row_probe import ProbeFailed, RowProbe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from swift_train.strategy import Strategy
    from swift_train.tasks import ForwardLoss

_TOKENS = 64  # of the row whose losses are compared
_LEAST = 1e-4  # nats: a difference that is always tolerated


@dataclass(frozen=True, slots=True)
class UsedKernels:
    """The kernels of a run, for its record.

    Attributes:
        name: of the set; '' for none.
        replaced: operations that were replaced.
        difference: root mean square difference of a row's losses from those of the model's own operations, in nats.
        reason: why there are none, if there were candidates.
    """

    name: str = ""
    replaced: tuple[str, ...] = ()
    difference: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for `parallel.json`."""
        return asdict(self)


def use_kernels(
    asked: str, strategy: Strategy, task: ForwardLoss, tokens: Sequence[int], note: Callable[[str], None] = lambda text: None
) -> UsedKernels:
    """Put a set of kernels in place if a row has the same losses with it. Collective; the result is the same on all processes.

    Args:
        asked: name of a set; `auto` for the first one that is installed and suits the model and the device, `none` for none.
        strategy, task: they compute the losses; the strategy is built.
        tokens: token ids of a row.
        note: told which kernels are used, or why none are.

    Raises:
        UsageError: a set that was asked for by name does not suit, or changes the losses.
    """
    if asked == "auto" and not _accelerated(strategy):
        return UsedKernels()
    names = list(_candidates(asked))
    if not names:
        return UsedKernels()
    used = UsedKernels()
    with RowProbe(strategy, task, ()) as probe:
        row = [list(tokens[:_TOKENS])]
        try:
            before = probe.run(row)
        except ProbeFailed as error:
            names, used = [], UsedKernels(reason=str(error))
        for name in names:
            used = _tried(name, probe, strategy, row, before)
            if used.name:
                note(f"Kernels: {name} ({', '.join(used.replaced)}); the losses of a row differ by {used.difference:.1g} nats.")
                return used
    if asked != "auto":
        message = f"the kernels '{asked}' can't be used: {used.reason}"
        raise UsageError(message, code="TRAIN-219", where="kernels", hint="Omit --kernels.")
    note(f"WARNING: no kernels are used: {used.reason}.")
    return used


def _accelerated(strategy: Strategy) -> bool:
    """Return whether kernels are worth a probe: not on a CPU, nor in a pipeline, whose stages would have to fail together."""
    return strategy.device.type != "cpu" and not strategy.fixed_shapes


def _candidates(asked: str) -> Iterator[str]:
    if asked not in ("auto", "none"):
        kernels_named(asked)
        yield asked
    elif asked == "auto":
        yield from (name for name, value in kernel_sets().items() if not Ref(value).load()().missing())


def _tried(name: str, probe: RowProbe, strategy: Strategy, row: Sequence[list[int]], before: Any) -> UsedKernels:
    """Put a set in place; return it without a name, and with the reason, if it was not."""
    kernels, model = kernels_named(name), probe.model
    reason = kernels.unsuitable(model, strategy.device) if model else "the model is none of transformers"
    if strategy.reduce(float(bool(reason)), "max"):
        return UsedKernels(reason=reason or "it does not suit another process")
    assert model is not None
    own = _Operations(model)
    replaced = tuple(kernels.apply(model))
    try:
        difference = float(np.sqrt(np.mean((probe.run(row) - before) ** 2)))
    except ProbeFailed as error:
        own.restore()
        return UsedKernels(reason=str(error))
    tolerance = max(_LEAST, probe.precision * float(np.mean(np.abs(before))))
    if difference > tolerance:
        own.restore()
        return UsedKernels(reason=f"losses differ by {difference:.2g} nats from those without, and rounding allows {tolerance:.2g}")
    return UsedKernels(name, replaced, difference)


class _Operations:
    """The operations of a model before kernels are put in place: attributes and classes of its modules, functions beside its class."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._modules = [(part, part.__class__, dict(part.__dict__)) for part in model.modules()]
        self._code = vars(sys.modules[_class_of(model).__module__])
        self._functions: Mapping[str, Any] = dict(self._code)

    def restore(self) -> None:
        """Put them back."""
        for part, kind, attributes in self._modules:
            part.__class__ = kind
            for name in part.__dict__.keys() - attributes.keys():
                del part.__dict__[name]
            part.__dict__.update(attributes)
        self._code.update(self._functions)


def _class_of(model: PreTrainedModel) -> type:
    """Return the class of transformers: strategies derive classes of their own from it."""
    return next(kind for kind in type(model).__mro__ if kind.__module__.startswith("transformers."))
