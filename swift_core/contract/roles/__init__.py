"""What the factories of the specs build, as Protocols.

Those of `sources`, `checkpoints` and `engines` speak in paths, strings and JSON, so their members may run in an environment of their own
(`isolated`). Those of `modules` touch an `nn.Module` and share the training process.
"""

from __future__ import annotations

from swift_core.contract.roles.checkpoints import (
    CalibratingExporter,
    CheckingExporter,
    Exported,
    Exporter,
    LoadableExporter,
    LoadableQuantizer,
    OfflineQuantizer,
    ReportingQuantizer,
    TrustingExporter,
)
from swift_core.contract.roles.common import ISOLATABLE, Progress
from swift_core.contract.roles.engines import Backend, EngineEnvironment, Evaluator, InlineEvaluator, Launcher, Scores, Server, Serving
from swift_core.contract.roles.modules import (
    Loaded,
    Loader,
    Loading,
    LoadQuantizer,
    OptimizerFactory,
    RemarkingTuner,
    ScheduledTuner,
    SwitchingTuner,
    Tuner,
)
from swift_core.contract.roles.sources import Dataset, Hub, RawRow

__all__ = [
    "ISOLATABLE",
    "Backend",
    "CalibratingExporter",
    "CheckingExporter",
    "Dataset",
    "EngineEnvironment",
    "Evaluator",
    "Exported",
    "Exporter",
    "Hub",
    "InlineEvaluator",
    "Launcher",
    "LoadQuantizer",
    "LoadableExporter",
    "LoadableQuantizer",
    "Loaded",
    "Loader",
    "Loading",
    "OfflineQuantizer",
    "OptimizerFactory",
    "Progress",
    "RawRow",
    "RemarkingTuner",
    "ReportingQuantizer",
    "ScheduledTuner",
    "Scores",
    "Server",
    "Serving",
    "SwitchingTuner",
    "TrustingExporter",
    "Tuner",
]
