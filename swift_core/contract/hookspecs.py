"""Every question the core asks. A plugin is a module that answers some of them with `@hookimpl`.

Plural nouns are extension points: they take nothing and return specs from `swift_core.contract.specs`. They are called while the
command line starts, so they must import nothing heavy and touch neither disk nor network. The rest are called during a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from swift_core.contract import specs
    from swift_core.contract.callback import CallbackSpec
    from swift_core.contract.events import ResultRecord, Watch
    from swift_core.contract.format import FormatSpec
    from swift_core.contract.problem import Problem
    from swift_core.contract.roles import EngineEnvironment
    from swift_core.contract.run import Run
    from swift_core.contract.settings import Settings
    from swift_core.contract.verb import VerbSpec

API_VERSION = "2.0"

hookspec = pluggy.HookspecMarker("swift")
hookimpl = pluggy.HookimplMarker("swift")


# -- extension points ----------------------------------------------------------------------------------------------------


@hookspec
def swift_hubs() -> Iterable[specs.HubSpec]:
    """Return hubs of models and data sets; a hub resolves a reference to a folder.

    Asked when a reference is read (`--model hf:org/name`), before a run starts: the hub whose `schemes` hold the part before the colon
    fetches it. The folder is then checked like any other, so a hub need not know what a checkpoint is.
    """


@hookspec
def swift_families() -> Iterable[specs.ModelFamily]:
    """Return model architectures as data: how `config.json` names them, target modules, multimodal prefixes, stop tokens.

    Asked when a checkpoint is identified, and by tuners, quantizers and servers that want to know what is where in a model. There is no
    factory: the answer is all there is.
    """


@hookspec
def swift_formats() -> Iterable[FormatSpec]:
    """Return checkpoint formats as data: how each is recognised, its files, and the check of its completeness.

    Asked whenever a checkpoint folder is used. The core knows no format: a folder that no installed format recognises is refused.
    """


@hookspec
def swift_loaders() -> Iterable[specs.LoaderSpec]:
    """Return loaders: checkpoint folder → model and processor, by checkpoint format.

    Asked for every verb that loads a model (`--loader`). The factory builds it in the process that trains or serves.
    """


@hookspec
def swift_datasets() -> Iterable[specs.DatasetSpec]:
    """Return named data sets and file formats.

    Asked when `--dataset` is read: by name, or by the suffix of a file. The rows are read where the command runs (`swift data`) and in
    workers (training), always in the order of their source.
    """


@hookspec
def swift_tasks() -> Iterable[specs.TaskSpec]:
    """Return training tasks: pretrain, sft, dpo, …

    Asked when a training is resolved. `trainer` names the job that a worker does; most name swift-train's loop, which asks the factory
    for a forward pass and a loss.
    """


@hookspec
def swift_tuners() -> Iterable[specs.TunerSpec]:
    """Return tuners: full, lora, qlora, dora, …

    Asked when a training or a merge is resolved (`--tuner`), and when an adapter is loaded: its manifest names the tuner that made it.
    """


@hookspec
def swift_parallel() -> Iterable[specs.ParallelSpec]:
    """Return parallel strategies: ddp, fsdp, zero3, …

    Asked when a training is resolved (`--parallel`). The factory builds a `swift_train.strategy.Strategy` in every process of the run.
    """


@hookspec
def swift_quantizers() -> Iterable[specs.QuantizerSpec]:
    """Return quantizers, at load time or offline: bnb, gptq, awq, fp8, …

    Asked when a model is to be loaded in few bits (`--quantizer`; a tuner may imply one), or quantized into a checkpoint of its own.
    """


@hookspec
def swift_exporters() -> Iterable[specs.ExporterSpec]:
    """Return exporters to other formats: gguf, onnx, …

    Asked when a checkpoint is exported. `reads` and `writes` are the formats on either side.
    """


@hookspec
def swift_backends() -> Iterable[specs.BackendSpec]:
    """Return serving engines: transformers, vllm, sglang, lmdeploy, …

    Asked when something is served (`--backend`). An engine is a command line: the core starts it, waits until it is ready, watches it
    and stops it, here or in an environment of its own.
    """


@hookspec
def swift_evaluators() -> Iterable[specs.EvaluatorSpec]:
    """Return evaluators of a server or a checkpoint: evalscope, lm-eval, …

    Asked when a model is evaluated. An evaluator is given the address of a server and never the engine behind it.
    """


@hookspec
def swift_launchers() -> Iterable[specs.LauncherSpec]:
    """Return launchers of a run's processes: local, torchrun, ray, kubernetes.

    Asked when a run starts (`--launcher`). The factory builds it where the command runs; what it starts is
    `python -m swift_core.runs.worker RUN_FOLDER`, once a process.
    """


@hookspec
def swift_verbs() -> Iterable[VerbSpec]:
    """Return verbs: sft, serve, quantize, …

    Asked when a command line, a recipe or the Python API names a verb. Name each one in the entry-point group `swift.verbs` too, so that
    `swift --help` can list it without importing the plugin.
    """


@hookspec
def swift_optimizers() -> Iterable[specs.OptimizerSpec]:
    """Return optimizers: adamw, muon, …

    Asked when a training is resolved (`--optimizer`). The factory builds it in every process, after the model.
    """


@hookspec
def swift_callbacks() -> Iterable[CallbackSpec]:
    """Return callbacks, which run inside the training processes: early stopping, monitoring, …

    Asked when a training is resolved; only the callbacks that the user names (`--callback`) are built, in every process of the run. To
    observe a run from where the command runs, use `swift_run_started`, `swift_metrics` and `swift_run_finished`.
    """


@hookspec
def swift_report_sections() -> Iterable[specs.SectionSpec]:
    """Return sections of the HTML report of runs: curves, scores, lineage, …

    Asked when a report is written, at the end of a run or by `swift report`. One that returns an empty text is left out.
    """


# -- during a run --------------------------------------------------------------------------------------------------------


@hookspec
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Read environment variables of other tools into the settings of a run; return a note for the user on each.

    Called before a run is resolved. A variable never overrides what the command line or its YAML gives.

    Args:
        verb: the verb that is run.
        settings: the settings so far, changed in place.
        environment: the environment variables.
    """


@hookspec
def swift_check(run: Run) -> Iterable[Problem]:
    """Veto a combination before torch is imported, or warn of it. All problems are shown together.

    Called when a run is resolved, once every part is chosen and its options are valid. A Problem with `fatal=False` is a note.

    Args:
        run: what is to be done, with the choice for each part.
    """


@hookspec
def swift_environment(spec: specs.Spec, distribution: str, update: bool) -> EngineEnvironment | None:
    """Find the environment for the engine of a part on this machine.

    Called if the engine is not installed in the running environment. Of several answers, the first usable environment is used.

    Args:
        spec: the part.
        distribution: the distribution that offers it.
        update: whether a run will use the environment, so that a copy of the running code in it must be brought up to date.
    """


@hookspec
def swift_provision(spec: specs.Spec, distribution: str, reason: str, watch: Watch | None, note: Callable[[str], None]) -> bool:
    """Create the environment for the engine of a part; return whether it was created.

    Called by a command whose run needs an absent engine, with `--yes` or on a terminal.

    Args:
        spec: the part.
        distribution: the distribution that offers it.
        reason: why it is needed, to ask the user for confirmation; '' if the user has agreed already.
        watch: called with progress events; None if nothing shows them.
        note: called with texts for the user.
    """


@hookspec
def swift_run_started(run: Run, folder: Path) -> None:
    """Called before a run starts; `folder` holds its `run.json`. Observers run in the process of the command, not in the worker.

    What it raises is recorded (`swift plugins`) and does not stop the run, unless it is a SwiftError.

    Args:
        run: what will be done.
        folder: the run folder.
    """


@hookspec
def swift_metrics(run: Run, folder: Path, metrics: Mapping[str, float]) -> None:
    """Called for each line of `metrics.jsonl`: numbers by name, with `step`.

    Called where the command runs, while the worker goes on; for a training about once a step.

    Args:
        run: what is done.
        folder: the run folder.
        metrics: `step` and what the worker reports: `loss`, `learning_rate`, …
    """


@hookspec
def swift_run_finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Called after a run ended: `status` (done, failed, stopped), `output`, `figures`, and `error` if there is one.

    Called however the run ended, Ctrl-C included; not where the command itself was killed.

    Args:
        run: what was done.
        folder: the run folder.
        result: what `result.json` holds.
    """
