"""The driver of the executor: `python -m swift_plugin_ray.data_driver JOB.json` maps items by Ray Data and prints each answer as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.data

from swift_core.contract import Ref, SwiftError, UsageError

_STORE = 512 << 20  # bytes of a local instance's object store; items and results are small
_ATTEMPTS = 3
_PASSED = ("SWIFT_", "HF_", "TOKENIZERS_")  # prefixes of the variables that the actors get


class ItemWorker:
    """An actor: the work, called with one item after the other. Errors of the work are answers, which Ray does not try again."""

    def __init__(self, work: str, setup: Mapping[str, Any], folder: str) -> None:
        self._work: Any = None
        self._failed: SwiftError | None = None
        try:
            _enter(folder)
            self._work = Ref(work).load()(setup)
        except SwiftError as error:
            self._failed = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the answer: {result} or {error}."""
        try:
            if self._failed:
                raise self._failed
            return {"answer": json.dumps({"result": self._work(json.loads(row["item"]))})}
        except SwiftError as error:
            return {"answer": json.dumps({"error": error.to_json()})}


def main() -> int:
    """Map the items and return the exit code; 0 also if the work failed, whose error is an answer."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Ray prints to stdout, which is the channel of the answers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    try:
        _connect(job["options"]["address"])
        actors = _actors(job["options"], len(job["items"]))
    except SwiftError as error:
        channel.write(json.dumps({"error": error.to_json()}) + "\n")
        channel.close()
        return 0
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"item": json.dumps(item)} for item in job["items"]]
    answers = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        ItemWorker,
        fn_constructor_args=(job["work"], job["setup"], job["folder"]),
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=job["options"]["cpus"],
    )
    for answer in answers.iter_rows():
        channel.write(answer["answer"] + "\n")
        channel.flush()
    ray.shutdown()
    return 0


def _connect(address: str) -> None:
    """Connect to a cluster, or start a local instance, which on a busy machine may take more than one attempt.

    Raises:
        UsageError: neither is possible.
    """
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    local = {} if address else {"object_store_memory": _STORE}
    for attempt in range(1 if address else _ATTEMPTS, 0, -1):
        try:
            ray.init(
                address=address or "local", log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": passed}, **local
            )  # fmt: skip
            return
        except Exception as error:  # Ray raises Exception itself
            if attempt == 1:
                hint = "Check that the Ray cluster is running: ray status" if address else "Try again when the machine is less busy."
                raise UsageError(f"Ray can't be used: {error}", code="NODE-047", where="executor", hint=hint) from error


def _actors(options: Mapping[str, Any], items: int) -> int:
    """Return the number of actors. Raises UsageError if the cluster has too few CPUs, for which Ray would wait forever."""
    cpus, each = ray.cluster_resources().get("CPU", 0.0), options["cpus"]
    wanted = options["processes"] or max(1, int(cpus / each))
    if min(wanted, items) * each > cpus:
        message = f"{wanted} processes with {each:g} CPU each were requested, but the Ray cluster has {cpus:g}"
        raise UsageError(
            message, code="NODE-048", where="executor", hint="Request fewer with ray:processes=, or fewer CPUs with ray:cpus=."
        )
    return min(wanted, items)


def _enter(folder: str) -> None:
    """Work in the folder of the command."""
    try:
        os.chdir(folder)
    except OSError as error:
        message = f"a process of the Ray cluster does not see {folder}"
        raise UsageError(message, code="NODE-049", where="executor", hint="Work in a folder on storage that all machines share.") from error


if __name__ == "__main__":
    raise SystemExit(main())
