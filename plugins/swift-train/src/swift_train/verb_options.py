"""Options of the training verbs themselves; those of the tasks are in `options`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator
from swift_convert.common_options import DeviceOptions, OutputOptions
from swift_data.options import RowsOptions

from swift_core.options import Names, Options, Several, option
from swift_train.rope import KINDS


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
        "Tokenise the rows, check their masks, and stop before the "
        "model is loaded; a later run with the same "
        "settings reuses them. With --output, that folder gets a reference to the stored rows.",
        affects_result=False,
    )
    new_tokens: Names = option(
        list, "Tokens to add to the vocabulary; their embeddings start as the mean of their text's, and are trained with any tuner.",
        also=("add_tokens",),
    )  # fmt: skip
    new_special_tokens: Names = option(
        list, "Special tokens to add: they are never split, and omitted from decoded text. FILE.txt has one in each line.",
        also=("add_special_tokens",),
    )  # fmt: skip
    rope_scaling: str | dict[str, Any] = option(
        dict,
        "Scale the rotary position embeddings for rows that are longer than the model's context: linear, dynamic or yarn; or as JSON, "
        "with a factor. Without one, it is computed from max_model_len, or max_length.",
    )
    max_model_len: int | None = option(None, "Context length that rope_scaling extends the model to; default: max_length.", ge=1)
    push_to_hub: bool = option(
        False, "Upload the output after the training, with a model card; the token is that of HF_TOKEN or MODELSCOPE_API_TOKEN.",
        affects_result=False,
    )  # fmt: skip
    hub_model_id: str = option(
        "", "Repository to upload to: OWNER/NAME, hf:… or ms:…; default: the name of the output folder, of the token's owner.",
        affects_result=False,
    )  # fmt: skip
    hub_private_repo: bool = option(False, "Create the repository as a private one.", affects_result=False)
    plan: bool = option(True, "Compute the plan of memory, disk and time, and refuse a run that can't fit.", affects_result=False)
    force: bool = option(False, "Start the run even if its plan does not fit.", affects_result=False)
    eval: dict[str, Any] = option(
        dict,
        "Evaluate checkpoints while the training continues: options of the callback evaluate, {tasks: questions.jsonl, every: 500}.",
        affects_result=False,
    )

    @field_validator("new_tokens", "new_special_tokens")
    @classmethod
    def _read_tokens(cls, value: list[str]) -> list[str]:
        """Read files of tokens."""
        files = {name: Path(name) for name in value if name.endswith(".txt")}
        lines = {name: file.read_text(encoding="utf-8").splitlines() for name, file in files.items() if file.is_file()}
        if lacking := next((name for name in files if name not in lines), ""):
            raise ValueError(f"there is no file {lacking}")
        found = [line.strip() for name in value for line in lines.get(name, [name])]
        return list(dict.fromkeys(filter(None, found)))

    @field_validator("rope_scaling", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        """Take a type for its mapping."""
        return {"rope_type": value} if isinstance(value, str) and value and not value.startswith("{") else value or {}

    @field_validator("rope_scaling")
    @classmethod
    def _known(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict) and value and (value.get("rope_type") or value.get("type")) not in KINDS:
            raise ValueError(f"must have a rope_type: {', '.join(KINDS)}")
        return value

    processes: int = option(1, "Processes per node.", ge=1, also=("nproc_per_node", "num_gpus"))
    nodes: int = option(1, "Number of nodes.", ge=1, also=("nnodes", "num_nodes"))
