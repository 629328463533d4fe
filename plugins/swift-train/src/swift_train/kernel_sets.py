"""Sets of kernels: faster implementations of operations of a model; a plugin offers one by an entry point of the group `swift.kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from swift_core.contract import Ref, UsageError, suggestion

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

GROUP = "swift.kernels"


class Kernels(Protocol):
    """A set of kernels; the entry point names its class, which is called without arguments.

    Attributes:
        summary: what it replaces, in a line.
    """

    summary: str

    def missing(self) -> str:
        """Return what must be installed, as a requirement for pip; '' if all is there. Called before anything is loaded."""
        ...

    def unsuitable(self, model: PreTrainedModel, device: torch.device) -> str:
        """Return why the kernels can't be used for this model on this device; '' if they can."""
        ...

    def apply(self, model: PreTrainedModel) -> Sequence[str]:
        """Put the kernels in place, in the model's modules and, if it must be, in the module of its class; return what was replaced."""
        ...


def kernel_sets() -> dict[str, str]:
    """Return the installed sets of kernels: name → `module:Class`."""
    return {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def kernels_named(name: str) -> Kernels:
    """Return a set of kernels.

    Raises:
        UsageError: there is none of this name, or what it needs is not installed.
    """
    known = kernel_sets()
    if name not in known:
        hint = f"{suggestion(name, known)} Kernels: {', '.join(['auto', 'none', *known])}.".strip()
        raise UsageError(f"there are no kernels '{name}'", code="TRAIN-218", where="kernels", hint=hint)
    found: Kernels = Ref(known[name]).load()()
    if missing := found.missing():
        raise UsageError(f"the kernels '{name}' need {missing}", code="TRAIN-220", where="kernels", hint=f"pip install '{missing}'")
    return found
