"""Protocols of what the factories of hubs, datasets, backends, evaluators and launchers build.

They exchange paths, strings and JSON, so their members may run in an environment of their own (`isolated`). The Protocols of quantizers and
exporters are in `swift_convert.roles`; those that touch an `nn.Module` and share the training process are in `swift_train.roles`.
"""

from __future__ import annotations

from swift_core.contract.roles.common import ISOLATABLE, Progress, Select
from swift_core.contract.roles.engines import Backend, EngineEnvironment, Launcher, Server, Serving
from swift_core.contract.roles.evaluation import Evaluation, Evaluator, InlineEvaluator, Item, Scores
from swift_core.contract.roles.sources import Dataset, Hub, RawRow

__all__ = [
    "ISOLATABLE", "Backend", "Dataset", "EngineEnvironment", "Evaluation", "Evaluator", "Hub", "InlineEvaluator", "Item", "Launcher",
    "Progress", "RawRow", "Scores", "Select", "Server", "Serving",
]  # fmt: skip
