"""`swift plan calibrate`: measure the speed of this machine, and learn the overhead of devices from finished runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from swift_core.cli import print_table
from swift_core.contract import UsageError
from swift_plan.calibration import compare, learn
from swift_plan.client import Tracer
from swift_plan.text import size


def calibrate(folders: Sequence[str], *, as_json: bool) -> int:
    """Measure, learn, and print what was found; without folders, measure alone.

    Raises:
        UsageError: a folder is not that of a run with a plan and a measured peak.
    """
    speed = Tracer.shared().measure()
    found = []
    for name in folders:
        comparison = compare(Path(name))
        if comparison is None:
            hint = "A training run has them when it has finished, unless it was started with --no-plan."
            raise UsageError("no plan with a measured peak", code="PLAN-008", where=name, hint=hint)
        found.append(comparison)
    overheads = learn(found)
    if as_json:
        click.echo(json.dumps({"speed": speed, "overheads": overheads}))
        return 0
    rates = ", ".join(f"{name} {rate / 1e9:.1f} {'GB/s' if name == 'bandwidth' else 'GFLOP/s'}" for name, rate in speed.items())
    click.echo(f"this machine's CPU: {rates}")
    if found:
        rows = [[run.folder.name, run.device, size(run.planned), size(run.measured), size(run.overhead)] for run in found]
        print_table(["run", "device", "planned", "measured", "overhead"], rows)
    for device, overhead in overheads.items():
        click.echo(f"overhead of {device}: {size(overhead)}")
    return 0
