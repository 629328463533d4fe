"""The training verbs: `train`, each task as a verb of its own (`sft`, `pretrain`, …), and `get_model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core.contract import CallbackSpec, Ref, SectionSpec, TaskSpec, VerbSpec, hookimpl
from swift_train.other_tools import IGNORED, SPELLINGS, UNSUPPORTED

if TYPE_CHECKING:
    from swift_core.contract import Settings

TRAIN = VerbSpec(
    name="train",
    summary="Train a model on a task",
    also=("rlhf",),
    options=Ref("swift_train.verb_options:TrainingOptions"),
    takes=("checkpoint", "rows"),
    gives="checkpoint",
    positional="model",
    main="task",
    each="task",
    parts={
        "task": "",
        "tuner": "lora",
        "quantizer": "",
        "parallel": "ddp",
        "optimizer": "adamw",
        "loader": "transformers",
        "launcher": "local",
    },
    job_from=("parallel.trains", "task.trainer"),
    prepare=(Ref("swift_data.resolving:prepare"), Ref("swift_train.callback_choices:prepare"), Ref("swift_train.task_steps:prepare")),
    complete=(Ref("swift_convert.implied_quantizer:choose"),),
    check=Ref("swift_train.verb_checks:problems"),
    carry_out=Ref("swift_train.task_steps:carry_out"),
    output_ratio=1.0,
    spellings=SPELLINGS,
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
    rewrite=Ref("swift_train.task_type:rewrite"),
)

LOAD = VerbSpec(
    name="get-model",
    summary="Load a model into this process (Python only)",
    options=Ref("swift_convert.common_options:DeviceOptions"),
    takes=("checkpoint",),
    gives="model",
    positional="model",
    parts={"tuner": "", "quantizer": "", "loader": "transformers"},
    preferred={"tuner": "lora"},
    complete=(Ref("swift_convert.implied_quantizer:choose"),),
    check=Ref("swift_convert.quantize:load_time_problems"),
    carry_out=Ref("swift_train.build:carry_out"),
    records=False,
    spellings={old: part for old, part in SPELLINGS.items() if part in ("tuner", "quantizer")},
)


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return the training verbs."""
    return [TRAIN, LOAD]


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return early stopping and the loss watchdog."""
    return [
        CallbackSpec(
            name="early-stopping", summary="End a training whose evaluations no longer improve",
            factory=Ref("swift_train.early_stopping:EarlyStopping"), options=Ref("swift_train.early_stopping:EarlyStoppingOptions"),
        ),
        CallbackSpec(
            name="loss-watchdog", summary="End a training whose loss is too high for several steps",
            factory=Ref("swift_train.loss_watchdog:LossWatchdog"), options=Ref("swift_train.loss_watchdog:LossWatchdogOptions"),
        ),
    ]  # fmt: skip


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Return next-token prediction on plain text, and on the assistant's turns of conversations."""
    trainer, inspector = Ref("swift_train.job:train"), Ref("swift_train.inspection:Inspector")
    return [
        TaskSpec(
            name="pretrain", summary="Train a model on plain text", also=("pt",), rows=("text",), trainer=trainer,
            inspector=inspector, factory=Ref("swift_train.tasks:PretrainTask"), options=Ref("swift_train.options:PretrainOptions"),
        ),
        TaskSpec(
            name="sft", summary="Fine-tune a model on conversations", rows=("chat",), trainer=trainer,
            inspector=inspector, factory=Ref("swift_train.tasks:SftTask"), options=Ref("swift_train.options:SftOptions"),
        ),
    ]  # fmt: skip


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return curves, the mask sample and batching."""
    return [
        SectionSpec(
            name="curves", title="Curves", summary="Loss, learning rate, gradient norm, throughput and memory by step", order=200,
            content=Ref("swift_train.report:curves"),
        ),
        SectionSpec(
            name="mask", title="Supervised tokens", summary="A training row with the supervised tokens in colour", order=500,
            content=Ref("swift_train.report:mask"),
        ),
        SectionSpec(
            name="batching", title="Batching", summary="How rows were batched, and the measurements behind it", order=650,
            content=Ref("swift_train.report:batching"),
        ),
    ]  # fmt: skip


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Apply the launch variables of other training tools."""
    from swift_train import launch_variables

    return list(launch_variables.apply(verb, settings, environment))
