"""The plan of a run in its run folder: `plan.json`, beside `run.json`, whose result does not depend on it."""

from __future__ import annotations

import json
from pathlib import Path

from swift_core.system import write_json
from swift_plan.plan import Plan

PLAN = "plan.json"


def write_plan(folder: Path, plan: Plan) -> None:
    """Write `plan.json`."""
    write_json(folder / PLAN, plan.to_json())


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of the run in `folder`; None if it has none."""
    try:
        return Plan.from_json(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
