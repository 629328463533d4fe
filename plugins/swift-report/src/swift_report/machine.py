"""The section `machine`: where a run took place, and with which versions; recorded in `environment.json` when it starts."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from swift_core.contract import Run
from swift_core.system import write_json
from swift_report import nvml
from swift_report.parts import columns
from swift_report.runs import ReportedRun

ENVIRONMENT = "environment.json"


def record(run: Run, folder: Path) -> None:
    """Write `environment.json`: the machine, without its name, and the versions of what the run uses."""
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _memory(),
        "accelerators": nvml.names(),
        "python": platform.python_version(),
        "versions": {**_engine_versions(), **run.made_with()},
    }
    write_json(folder / ENVIRONMENT, {"schema": 1, **facts})


def content(runs: Sequence[ReportedRun]) -> Markup:
    """Return a table, with a column per run; where runs differ, the line is marked."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        facts = dict(run.json(ENVIRONMENT))
        facts.pop("schema", None)
        versions = facts.pop("versions", run.run.made_with() if run.run else {})
        if memory := facts.pop("memory", 0):
            facts["memory"] = f"{memory / 2**30:.1f} GiB"
        if not facts.get("accelerators"):
            facts.pop("accelerators", None)
        if run.run or facts:
            found[run.name] = {**facts, **dict(sorted(versions.items()))}
    return columns(found, mark=True)


def _engine_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide numbers, without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "transformers", "peft", "tokenizers", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> int:
    """Return the bytes of the machine's memory; 0 if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
