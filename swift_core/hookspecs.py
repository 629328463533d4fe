"""Every question the core asks. A plugin is a module that answers some of them with `@hookimpl`.

Plural nouns are extension points: they take nothing and return specs from `swift_core.specs`. They are called while the
command line starts, so they must import nothing heavy and touch neither disk nor network. The rest are called during a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from swift_core import specs
    from swift_core.run import Run

API_VERSION = "0.1"

hookspec = pluggy.HookspecMarker("swift")
hookimpl = pluggy.HookimplMarker("swift")


# -- extension points ----------------------------------------------------------------------------------------------------


@hookspec
def swift_hubs() -> Iterable[specs.HubSpec]:
    """Where models and data sets come from; a hub turns a reference into a folder."""
    raise NotImplementedError


@hookspec
def swift_model_families() -> Iterable[specs.ModelFamily]:
    """Architectures as data: how `config.json` names them, target modules, multimodal prefixes, stop tokens."""
    raise NotImplementedError


@hookspec
def swift_model_loaders() -> Iterable[specs.LoaderSpec]:
    """Checkpoint folder → model and processor, by checkpoint format."""
    raise NotImplementedError


@hookspec
def swift_datasets() -> Iterable[specs.DatasetSpec]:
    """Named data sets and file formats."""
    raise NotImplementedError


@hookspec
def swift_tasks() -> Iterable[specs.TaskSpec]:
    """What is learned: pretrain, sft, dpo, …"""
    raise NotImplementedError


@hookspec
def swift_tuners() -> Iterable[specs.TunerSpec]:
    """Which weights learn: full, lora, qlora, dora, …"""
    raise NotImplementedError


@hookspec
def swift_parallel_strategies() -> Iterable[specs.ParallelSpec]:
    """How training is spread over processes: ddp, fsdp, zero3, …"""
    raise NotImplementedError


@hookspec
def swift_quantizers() -> Iterable[specs.QuantizerSpec]:
    """Fewer bits a weight, at load time or offline: bnb, gptq, awq, fp8, …"""
    raise NotImplementedError


@hookspec
def swift_exporters() -> Iterable[specs.ExporterSpec]:
    """Checkpoint → another format: gguf, onnx, …"""
    raise NotImplementedError


@hookspec
def swift_backends() -> Iterable[specs.BackendSpec]:
    """Serving engines: transformers, vllm, sglang, lmdeploy, …"""
    raise NotImplementedError


@hookspec
def swift_evaluators() -> Iterable[specs.EvaluatorSpec]:
    """Scores for a server or a checkpoint: evalscope, lm-eval, …"""
    raise NotImplementedError


@hookspec
def swift_launchers() -> Iterable[specs.LauncherSpec]:
    """What starts the processes of a run: local, torchrun, ray, kubernetes."""
    raise NotImplementedError


@hookspec
def swift_optimizers() -> Iterable[specs.OptimizerSpec]:
    """Parameter groups → optimizer: adamw, muon, …"""
    raise NotImplementedError


# -- during a run --------------------------------------------------------------------------------------------------------


@hookspec
def swift_check(run: Run) -> Iterable[specs.Problem]:
    """Veto a combination before torch is imported, or warn of it. All problems are shown together."""
    raise NotImplementedError


@hookspec
def swift_run_started(run: Run, folder: Path) -> None:
    """A run is about to start; `folder` holds its `run.json`. Observers are called where the command runs, not in the worker."""
    raise NotImplementedError


@hookspec
def swift_metrics(run: Run, folder: Path, metrics: Mapping[str, Any]) -> None:
    """A line of `metrics.jsonl` was written: numbers by name, with `step`."""
    raise NotImplementedError


@hookspec
def swift_run_finished(run: Run, folder: Path, result: Mapping[str, Any]) -> None:
    """A run ended: `status` (done, failed, stopped), `output`, `figures`, and `error` where there is one."""
    raise NotImplementedError
