"""Protocols of what the factories of hubs, datasets and launchers build.

They exchange paths, strings and JSON, so their members may run in an environment of their own (`isolated`). The Protocols of backends are
in `swift_serve.roles`, those of evaluators in `swift_evaluate.roles`, and those of quantizers and exporters in `swift_convert.roles`. Those
that touch an `nn.Module` and share the training process are in `swift_train.roles`.
"""

from __future__ import annotations

from swift_core.contract.roles.common import ISOLATABLE, Progress, Select
from swift_core.contract.roles.engines import EngineEnvironment, Launcher, Server
from swift_core.contract.roles.sources import Dataset, Hub, RawRow

__all__ = ["ISOLATABLE", "Dataset", "EngineEnvironment", "Hub", "Launcher", "Progress", "RawRow", "Select", "Server"]
