"""Options of ddp."""

from __future__ import annotations

from swift_train.options import StrategyOptions


class DdpOptions(StrategyOptions):
    """A copy of the model a process; there is nothing to set but the device."""
