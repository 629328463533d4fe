"""Options of the strategy; every strategy has `device`, which is set by the verb."""

from __future__ import annotations

from swift_train.options import StrategyOptions


class AcmeOptions(StrategyOptions):
    """Options of the strategy `acme`: only the device."""
