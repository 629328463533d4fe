"""Options of ddp."""

from __future__ import annotations

from swift_train.options import StrategyOptions


class DdpOptions(StrategyOptions):
    """A copy of the model a process; what can be set is what every strategy has."""
