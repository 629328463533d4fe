"""A local plugin that reads an environment variable of a cluster: `swift --plugin docs/examples/launch_note.py sft …`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core import hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec


# -- start swift_settings --
@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Put run folders on the scratch disk of the job, unless the user chose another place."""
    scratch = environment.get("JOB_SCRATCH")
    if not scratch or settings.values.get("runs") or not verb.records:
        return []
    settings.set("runs", f"{scratch}/runs")
    return [f"JOB_SCRATCH={scratch}: run folders go to {scratch}/runs"]


# -- end swift_settings --
