"""Options of `swift online-dpo`; the names are those of TRL."""

from __future__ import annotations

from swift_rollouts.options import RewardOptions

from swift_core.options import option
from swift_plugin_preference.options import DpoLossOptions


class OnlineDpoOptions(DpoLossOptions, RewardOptions):
    """Options of `swift online-dpo`; `batch_size` counts pairs, as in `swift dpo`."""

    num_generations: int = option(2, "Answers per prompt; that with the highest reward is preferred over that with the lowest one.", ge=2)

    @property
    def answers_per_row(self) -> int:
        """1: a pair is made of all answers to a prompt."""
        return 1
