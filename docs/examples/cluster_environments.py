"""A local plugin for a cluster whose administrators install the engines: `swift --plugin docs/examples/cluster_environments.py serve …`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from swift_core import hookimpl
from swift_core.contract import EngineEnvironment, Spec

ENGINES = Path(os.environ.get("CLUSTER_ENGINES", "/opt/engines"))


# -- start swift_environment --
@hookimpl
def swift_environment(spec: Spec) -> EngineEnvironment | None:
    """Use /opt/engines/NAME/bin/python if it exists."""
    python = ENGINES / spec.name / "bin" / "python"
    return EngineEnvironment(python=str(python)) if python.is_file() else None


# -- end swift_environment --


# -- start swift_provision --
@hookimpl
def swift_provision(spec: Spec, note: Callable[[str], None]) -> bool:
    """Install nothing: only the administrators do."""
    note(f"ask the administrators for {spec.name} in {ENGINES}")
    return False


# -- end swift_provision --
