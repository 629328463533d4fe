"""Options of the training verbs themselves; those of the tasks are in `options`."""

from __future__ import annotations

from typing import Any

from swift_convert.common_options import DeviceOptions, OutputOptions
from swift_data.options import RowsOptions

from swift_core.options import Names, Options, Several, option


class ResumeOptions(Options):
    """Options of --resume."""

    name: str = option("", "Run folder, or checkpoint in it, to resume from.")
    allow_change: bool = option(
        False, "Resume even if settings have changed; the changes are listed, and the result differs from that of an uninterrupted run."
    )


class TrainingOptions(DeviceOptions, RowsOptions, OutputOptions):
    """Options of every training verb."""

    resume: str | ResumeOptions = option(
        "", "Run folder, or checkpoint in it, to resume from.", also=("resume_from_checkpoint",), affects_result=False
    )
    callbacks: Several = option(
        list,
        "Training callbacks: NAME, or NAME:OPTION=VALUE; in YAML {name: NAME, option: value}.",
        also=("callback",),
    )
    report_to: Names = option(
        list,
        "Experiment trackers that get the metrics: tensorboard, wandb, swanlab, mlflow, trackio, comet; their options are those of a "
        "callback: --callback wandb:project=NAME.",
        affects_result=False,
    )
    tokenize_only: bool = option(
        False,
        "Tokenise the rows, check their masks, and stop before the model is loaded; the same training finds them stored. With "
        "--output, the names of the rows are written there.",
        affects_result=False,
    )
    plan: bool = option(True, "Compute the plan of memory, disk and time, and refuse a run that can't fit.", affects_result=False)
    force: bool = option(False, "Start the run even if its plan does not fit.", affects_result=False)
    eval: dict[str, Any] = option(
        dict,
        "Evaluate checkpoints while the training continues: options of the callback evaluate, {tasks: questions.jsonl, every: 500}.",
        affects_result=False,
    )
    processes: int = option(1, "Processes per node.", ge=1, also=("nproc_per_node", "num_gpus"))
    nodes: int = option(1, "Number of nodes.", ge=1, also=("nnodes", "num_nodes"))
