"""Options of the strategy; `device`, which every strategy has, comes from the verb."""

from __future__ import annotations

from swift_train.options import StrategyOptions


class AcmeOptions(StrategyOptions):
    """There is nothing to set but the device."""
