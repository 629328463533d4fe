"""Executor on Ray Data: the items of a work as the rows of a `ray.data.Dataset`, mapped by a pool of actors.

The driver is a separate process, because Ray takes over threads, signals and output of the calling process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from swift_nodes.executors import Executor, Json

from swift_core.contract import Ref, SwiftError, UsageError
from swift_core.options import option
from swift_core.runs import error_of
from swift_core.system import supervisor

_GRACE = 30.0  # seconds that Ray has to stop its workers
_LAST = 2000  # characters of its log that are shown


class RayExecutor(Executor):
    """Actors of Ray Data, on this machine or a Ray cluster."""

    address: str = option("", "Address of the Ray cluster, such as auto or ray://head:10001; empty: a temporary local instance.")
    processes: int = option(0, "Number of actors; 0: as many as the cluster has CPUs for.", ge=0)
    cpus: float = option(1.0, "CPUs to reserve for each actor.", gt=0)

    def map(self, work: Ref, setup: Json, items: Sequence[Json]) -> Iterator[Json]:
        """Yield the results as they are ready. The items of an actor that is lost are given to another one.

        Raises:
            UsageError: Ray is not installed, or the cluster can't be reached or is too small.
            SwiftError: one from the work, or Ray failed.
        """
        if not _installed():
            hint = "pip install 'swift-plugin-ray[engine]'"
            raise UsageError("the executor 'ray' needs Ray and its library for data", code="NODE-050", where="executor", hint=hint)
        job = {"work": str(work), "setup": setup, "items": list(items), "options": self.model_dump(), "folder": os.getcwd()}
        with tempfile.TemporaryDirectory(prefix="swift-ray-") as folder:
            given, log = Path(folder) / "job.json", Path(folder) / "log.txt"
            given.write_text(json.dumps(job), encoding="utf-8")
            command = supervisor.argv([sys.executable, "-m", "swift_plugin_ray.data_driver", str(given)], grace=_GRACE)
            with log.open("wb") as err:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, start_new_session=True)
            try:
                yield from _results(process)
                if process.wait():
                    last = log.read_text(encoding="utf-8", errors="replace")[-_LAST:].strip()
                    hint = f"Finished items are kept: run the command again. Ray's last words:\n{last}"
                    raise SwiftError(f"Ray ended with code {process.returncode}", code="NODE-051", where="executor", hint=hint)
            finally:
                if process.stdin:
                    process.stdin.close()  # ends Ray, if it still runs
                process.wait()


def _installed() -> bool:
    try:
        import ray.data  # noqa: F401
    except ImportError:
        return False
    return True


def _results(process: subprocess.Popen[bytes]) -> Iterator[Json]:
    for line in process.stdout or ():
        answer = json.loads(line)
        if "error" in answer:
            raise error_of(answer["error"])
        yield answer["result"]
