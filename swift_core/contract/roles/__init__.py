"""Protocols of what the factories of hubs, datasets, evaluators and launchers build.

They exchange paths, strings and JSON, so their members may run in an environment of their own (`isolated`). The Protocols of backends are
in `swift_serve.roles`, those of quantizers and exporters in `swift_convert.roles`; those that touch an `nn.Module` and share the training
process are in `swift_train.roles`.
"""

from __future__ import annotations

from swift_core.contract.roles.common import ISOLATABLE, Progress, Select
from swift_core.contract.roles.engines import EngineEnvironment, Launcher, Server
from swift_core.contract.roles.evaluation import Evaluation, Evaluator, InlineEvaluator, Item, Scores
from swift_core.contract.roles.sources import Dataset, Hub, RawRow

__all__ = [
    "ISOLATABLE", "Dataset", "EngineEnvironment", "Evaluation", "Evaluator", "Hub", "InlineEvaluator", "Item", "Launcher",
    "Progress", "RawRow", "Scores", "Select", "Server",
]  # fmt: skip
