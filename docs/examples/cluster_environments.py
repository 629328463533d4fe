"""A local plugin for a cluster whose administrators install the engines: `swift --plugin docs/examples/cluster_environments.py serve …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import EngineEnvironment, Spec

if TYPE_CHECKING:
    from swift_core.cli import Screen
    from swift_core.plugins import Entry

ENGINES = Path(os.environ.get("CLUSTER_ENGINES", "/opt/engines"))


# -- start swift_environment --
@hookimpl
def swift_environment(entry: Entry[Spec]) -> EngineEnvironment | None:
    """Use /opt/engines/NAME/bin/python if it exists."""
    python = ENGINES / entry.spec.name / "bin" / "python"
    return EngineEnvironment(python=str(python)) if python.is_file() else None


# -- end swift_environment --


# -- start swift_provision --
@hookimpl
def swift_provision(entry: Entry[Spec], screen: Screen) -> bool:
    """Install nothing: only the administrators do."""
    screen.note(f"ask the administrators for {entry.spec.name} in {ENGINES}")
    return False


# -- end swift_provision --
