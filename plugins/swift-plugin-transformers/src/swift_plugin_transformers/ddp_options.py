"""Options of the strategy `ddp`."""

from __future__ import annotations

from swift_train.options import StrategyOptions


class DdpOptions(StrategyOptions):
    """Options of `ddp`: only those that every strategy has."""
