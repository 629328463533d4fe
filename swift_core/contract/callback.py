"""A callback: code that runs inside the training processes, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.contract.specs import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSpec(Spec):
    """A training callback, chosen with `--callback NAME`; its factory builds a `swift_train.callbacks.Callback` in every process."""

    kind: ClassVar[str] = "callback"
