"""A plugin of one file that offers every kind of part, for tests/test_local_kinds.py: it is copied as `mine.py` and never imported here.

Each is one of ours under another name, so that what a file's part can and can't do is what is tested. What is heavy is imported when used.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
from swift_serve.roles import Command

from swift_core import hookimpl
from swift_core.contract import (  # fmt: skip
    BackendSpec,
    CallbackSpec,
    DatasetSpec,
    EvaluatorSpec,
    ExporterSpec,
    FormatSpec,
    HubSpec,
    LauncherSpec,
    LoaderSpec,
    ModelFamily,
    OptimizerSpec,
    ParallelSpec,
    QuantizerSpec,
    RawRow,
    Ref,
    SectionSpec,
    TaskSpec,
    TunerSpec,
    VerbSpec,
)
from swift_core.options import Options, RunOptions

MERGER, TRAINER = Ref("swift_train.merge:merge"), Ref("swift_train.job:train")
SWIFT_COMMANDS = {"mine-says": "mine:says"}


@click.command("mine-says")
def says():
    """Say where it comes from."""
    click.echo(f"from {__file__}")


class NoOptions(Options):
    """None."""


class Hub:
    def __init__(self, options):
        pass

    def fetch(self, reference, *, select, progress=None):
        return Path(reference.name)

    def push(self, folder, reference, *, message, private):
        raise NotImplementedError


class Rows:
    def __init__(self, options):
        pass

    def fetch(self, progress=None):
        return (Path(__file__),)

    def rows(self):
        for number in range(1, 9):
            messages = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": "Because. " * number}]
            yield RawRow({"messages": messages}, "mine.py", number)


def loader(options):
    from swift_plugin_transformers.loader import TransformersLoader

    return TransformersLoader(options)


def task(options):
    from swift_train.tasks import SftTask

    return SftTask(options)


def tuner(options):
    from swift_plugin_peft.options import LoraOptions
    from swift_plugin_peft.tuner import PeftTuner

    return PeftTuner(LoraOptions(rank=2, dropout=0.0))


def strategy(options):
    from swift_plugin_transformers.ddp import DdpStrategy

    return DdpStrategy(options)


def optimizer(options):
    from swift_plugin_transformers.optimizer import AdamW
    from swift_train.optimizer_options import AdamOptions

    return AdamW(AdamOptions())


def callback(options):
    from swift_train.callbacks import Callback

    return Callback()


def launcher(options):
    from swift_core.runs import LocalLauncher

    return LocalLauncher()


class Quantizer:
    """Half precision."""

    def __init__(self, options):
        pass

    def quantize(self, checkpoint, out, calibration):
        from safetensors.torch import load_file, save_file

        shutil.copytree(checkpoint, out, ignore=shutil.ignore_patterns("swift.json"))
        save_file(
            {name: value.half() for name, value in load_file(out / "model.safetensors").items()},
            out / "model.safetensors",
            {"format": "pt"},
        )
        return {"bits": 16}


class LoadQuantizer:
    """None at all: what a load-time quantizer says while a model is loaded."""

    def __init__(self, options):
        pass

    def load_arguments(self, family, dtype):
        return {}

    def ready_to_train(self, model):
        pass


class Exporter:
    def __init__(self, options):
        pass

    def export(self, checkpoint, out):
        out.mkdir()
        return Path(shutil.copy(checkpoint / "config.json", out / "mine.json"))


class Backend:
    """The template's smallest server is the embedded one here."""

    def __init__(self, options):
        pass

    def command(self, serving):
        from swift_plugin_transformers.backend import TransformersBackend
        from swift_plugin_transformers.serve_options import ServeOptions

        made = TransformersBackend(ServeOptions()).command(serving)
        return Command(argv=made.argv, env={**made.env, "MINE": sys.executable}, ready=made.ready)


class Evaluator:
    def __init__(self, options):
        pass

    def evaluate(self, server, asked):
        from swift_evaluate.roles import Scores

        return Scores(values={task: {"accuracy": 1.0} for task in asked.tasks})


@hookimpl
def swift_hubs():
    return [HubSpec(name="mine", summary="Mine", schemes=("mine",), factory=Ref("mine:Hub"))]


@hookimpl
def swift_formats():
    return [FormatSpec(name="mine", summary="Mine", recognised_by=("*.mine",), weights=("*.mine",))]


@hookimpl
def swift_families():
    return [ModelFamily(name="mine", summary="Mine", architectures=("MineForCausalLM",), targets=("q_proj",))]


@hookimpl
def swift_loaders():
    quantizer, verifier = Ref("swift_train.quantize:quantize"), Ref("swift_train.export_comparison:compare")
    return [
        LoaderSpec(name="mine", summary="Mine", factory=Ref("mine:loader"), reads=("safetensors",), quantizer=quantizer, verifier=verifier)
    ]


@hookimpl
def swift_datasets():
    return [DatasetSpec(name="mine", summary="Mine", factory=Ref("mine:Rows"), rows=("chat",))]


@hookimpl
def swift_tasks():
    options = Ref("swift_train.options:SftOptions")
    return [TaskSpec(name="mine", summary="Mine", factory=Ref("mine:task"), options=options, rows=("chat",), trainer=TRAINER)]


@hookimpl
def swift_tuners():
    return [TunerSpec(name="mine", summary="Mine", factory=Ref("mine:tuner"), trains="adapter", merger=MERGER)]


@hookimpl
def swift_parallel():
    options = Ref("swift_plugin_transformers.ddp_options:DdpOptions")
    return [ParallelSpec(name="mine", summary="Mine", factory=Ref("mine:strategy"), options=options)]


@hookimpl
def swift_quantizers():
    return [
        QuantizerSpec(name="mine", summary="Mine", factory=Ref("mine:Quantizer"), when="offline", format="mine", bits=(16,)),
        QuantizerSpec(name="mine-load", summary="Mine", factory=Ref("mine:LoadQuantizer"), when="load", format="mine", bits=(16,)),
    ]


@hookimpl
def swift_exporters():
    return [ExporterSpec(name="mine", summary="Mine", factory=Ref("mine:Exporter"), reads=("safetensors",), writes="mine")]


@hookimpl
def swift_backends():
    return [BackendSpec(name="mine", summary="Mine", factory=Ref("mine:Backend"), reads=("safetensors",), adapters=True)]


@hookimpl
def swift_evaluators():
    return [EvaluatorSpec(name="mine", summary="Mine", factory=Ref("mine:Evaluator"))]


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="mine", summary="Mine", factory=Ref("mine:launcher"))]


class SayOptions(RunOptions):
    """Options of the verb."""


def say(run, report):
    """Write a file: the job of the verb."""
    output = report.folder / "said.txt"
    output.write_text("mine", encoding="utf-8")
    return output, {"letters": 4}


def section(runs):
    return f"<mine> {len(runs)}"


@hookimpl
def swift_verbs():
    return [VerbSpec(name="mine-verb", summary="Mine", options=Ref("mine:SayOptions"), gives="file", job=Ref("mine:say"))]


@hookimpl
def swift_optimizers():
    return [OptimizerSpec(name="mine", summary="Mine", factory=Ref("mine:optimizer"))]


@hookimpl
def swift_callbacks():
    return [CallbackSpec(name="mine", summary="Mine", factory=Ref("mine:callback"))]


@hookimpl
def swift_report_sections():
    return [SectionSpec(name="mine", summary="Mine", title="Mine", content=Ref("mine:section"))]
