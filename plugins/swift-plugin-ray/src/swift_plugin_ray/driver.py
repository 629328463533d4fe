"""The Ray driver: `python -m swift_plugin_ray.driver JSON` runs a TorchTrainer and relays the events of rank 0."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from swift_nodes.follow_job import follow

from swift_core.contract import Event, SwiftError, UsageError
from swift_core.runs import Report
from swift_plugin_ray.options import RayOptions
from swift_plugin_ray.worker import work


def main() -> int:
    """Run the job and return the exit code: 0 if the workers succeeded or were stopped, 1 if they failed, 2 for a setup error."""
    job = json.loads(sys.argv[1])
    options, run = RayOptions(**job["options"]), Path(job["run"])
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Ray prints to stdout, which is the event channel
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    report = Report(run, channel)
    try:
        ray.init(address=options.address or "local", log_to_driver=False, include_dashboard=False)
        _check_resources(job["workers"], options)
    except (SwiftError, ConnectionError) as error:
        hint = "Check that the Ray cluster is running: ray status"
        report.error(error if isinstance(error, SwiftError) else SwiftError(str(error), code="NODE-023", hint=hint))
        return 2
    done = threading.Event()

    def relay(event: Event) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    listener = threading.Thread(target=follow, args=(run, relay, lambda: 0 if done.is_set() else None, lambda: None), daemon=True)
    listener.start()
    try:
        result = _trainer(job, options, run).fit()
    except ray.train.TrainingFailedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        done.set()
        listener.join(30)
        ray.shutdown()
    if result.checkpoint:
        report.note(f"A copy of the checkpoint is at {result.checkpoint.path}.")
    return 0


def _check_resources(workers: int, options: RayOptions) -> None:
    """Refuse requests beyond the cluster's total resources, for which Ray would wait forever."""
    available = ray.cluster_resources()
    for name, each in {"CPU": options.cpus, "GPU": float(options.gpu)}.items():
        if each * workers > available.get(name, 0.0):
            message = (
                f"{workers} workers with {each:g} {name} each were requested, but the Ray cluster has {available.get(name, 0.0):g} {name}"
            )
            raise UsageError(
                message, code="NODE-024", where="processes", hint="Request fewer workers, or fewer CPUs per worker with --launcher.cpus."
            )


def _trainer(job: dict[str, Any], options: RayOptions, run: Path) -> TorchTrainer:
    return TorchTrainer(
        work,
        train_loop_config={"run": str(run), "folder": str(Path.cwd()), "environment": job["environment"], "keep": bool(options.storage)},
        torch_config=TorchConfig(backend="gloo"),  # for the preflight only; the run's own processes choose their backend
        scaling_config=ScalingConfig(
            num_workers=job["workers"],
            use_gpu=options.gpu,
            resources_per_worker={"CPU": options.cpus, **({"GPU": 1} if options.gpu else {})},
        ),
        run_config=RunConfig(
            name=run.name, storage_path=options.storage or str(run / "ray"), failure_config=FailureConfig(max_failures=options.max_restarts)
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
