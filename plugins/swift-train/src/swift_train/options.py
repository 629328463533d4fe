"""Options of the training tasks and parallel strategies; `also` lists the spellings of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from swift_core.options import Options, option
from swift_train.loss_options import LossOptions
from swift_train.mask_options import MaskOptions
from swift_train.media.options import MediaOptions
from swift_train.schedule_options import ScheduleOptions

Truncation = Literal["error", "left", "right", "drop", "split"]
TRUNCATIONS = {"delete": "drop", "raise": "error"}  # ms-swift's values


SCHEDULES = {  # of transformers
    "constant_with_warmup": "constant", "cosine_with_min_lr": "cosine", "cosine_warmup_with_min_lr": "cosine",
    "cosine_with_restarts": "cosine-restarts", "inverse_sqrt": "inverse-sqrt", "warmup_stable_decay": "wsd",
}  # fmt: skip


class StrategyOptions(Options):
    """Options of every parallel strategy; `--device` of the verb sets `device`."""

    device: str = option("auto", "Device of each process: auto, cpu, cuda, npu, mps, xpu.")
    timeout: float = option(
        600.0,
        "Seconds without progress after which the run is aborted; the error names the process that hangs and its stage.",
        gt=0,
        also=("ddp_timeout",),
        affects_result=False,
    )


def peak_learning_rate(rate: float | None, *, adapter: bool) -> float:
    """Return the given learning rate, or the default: 1e-4 for adapters, 1e-5 for the model's own weights."""
    return rate or (1e-4 if adapter else 1e-5)


class TrainOptions(Options):
    """Options of every task that trains with a forward pass and a loss."""

    learning_rate: float | None = option(None, "Peak learning rate; default 1e-4 for adapters, 1e-5 for the model's own weights.", gt=0)
    embedding_learning_rate: float | None = option(
        None, "Peak learning rate of embeddings and output layer; default: learning_rate.", ge=0, also=("embedding_lr",)
    )
    vit_lr: float | None = option(None, "Peak learning rate of the vision tower, if it is trained; default: learning_rate.", gt=0)
    aligner_lr: float | None = option(None, "Peak learning rate of the aligner of a vision tower; default: learning_rate.", gt=0)
    max_steps: int | None = option(None, "Total optimizer steps; overrides epochs.", ge=1, values={"-1": None})
    epochs: float = option(1.0, "Number of passes over the training rows.", gt=0, also=("num_train_epochs",))
    batch_size: int = option(
        4,
        "Micro-batch size per process, in rows; rows are computed one by one if the architecture can't keep them separate.",
        ge=1,
        also=("per_device_train_batch_size",),
    )
    gradient_accumulation_steps: int = option(1, "Micro-batches accumulated per optimizer step.", ge=1)
    micro_tokens: int | None = option(
        None,
        "Maximum tokens per forward pass, to bound memory; default 512 on a CPU, elsewhere limited by batch_size alone.",
        ge=1,
    )
    max_length: int | None = option(
        None, "Maximum tokens per row; default: the model's maximum context length.", ge=2, also=("cutoff_len", "max_seq_length")
    )
    warmup_ratio: float = option(0.0, "Linear warm-up of the learning rate, as a fraction of all steps.", ge=0, le=1)
    warmup_steps: float = option(
        0, "Linear warm-up steps, or below 1 a fraction of all steps; overrides warmup_ratio.", ge=0, also=("lr_warmup_steps",)
    )
    schedule: Literal["linear", "cosine", "constant", "cosine-restarts", "polynomial", "inverse-sqrt", "wsd"] = option(
        "cosine",
        "Learning rate schedule after the warm-up; wsd is constant and decays at the end.",
        also=("lr_scheduler_type", "lr_scheduler"),
        values=SCHEDULES,
    )
    schedule_options: ScheduleOptions = option(
        ScheduleOptions, "Options of the schedule, by transformers' names.", also=("lr_scheduler_kwargs",)
    )
    min_learning_rate: float = option(0.0, "Learning rate at the end of the schedule.", ge=0, also=("min_lr",))
    max_grad_norm: float = option(1.0, "Maximum gradient norm (clipping); 0 disables it.", ge=0)
    seed: int = option(42, "Random seed of new weights, data order, dropout and the validation split.", ge=0, also=("data_seed",))
    packing: bool = option(
        False, "Pack several whole rows into each sequence of max_length tokens; refused if the model can't keep the rows separate."
    )
    group_by_length: bool = option(False, "Batch rows of similar length together.")
    shuffle: bool = option(True, "Shuffle the rows each epoch.", also=("train_dataloader_shuffle",))
    validation_ratio: float = option(
        0.0,
        "Fraction of the rows, or number of rows, held out for validation, if no validation set is given.",
        ge=0,
        also=("split_dataset_ratio", "val_size", "val_set_size"),
    )
    eval_strategy: Literal["steps", "epoch", "no"] = option(
        "steps",
        "When to evaluate on the held-out rows: before, after, and every eval_steps (steps) or at the end of each epoch (epoch); or never.",
        also=("evaluation_strategy",),
        affects_result=False,
    )
    eval_steps: float | None = option(
        None,
        "Evaluate on the held-out rows every N steps, or below 1 a fraction of all steps, in addition to before and after training.",
        gt=0,
        values={"-1": None},
        affects_result=False,
    )
    evals_per_epoch: int | None = option(None, "Evaluations per epoch, instead of eval_steps.", ge=1, affects_result=False)
    eval_batch_size: int | None = option(
        None,
        "Micro-batch size for evaluation, in rows; default: batch_size.",
        ge=1,
        also=("per_device_eval_batch_size",),
        affects_result=False,
    )
    metric_for_best_model: str = option(
        "loss",
        "Metric of the evaluations that decides on the best checkpoint and early stopping: loss (the validation loss), a metric of the "
        "task, one that a callback logs in on_evaluate, or a score of checkpoints that are evaluated beside the training (eval_…).",
        values={"eval_loss": "loss"},
    )
    greater_is_better: bool | None = option(
        None, "Whether a greater metric_for_best_model is better; default: unless its name ends in loss, as in transformers."
    )
    load_best_model_at_end: bool = option(
        False, "Write the best checkpoint's model as the output, not the last one; a checkpoint is saved at each new best evaluation."
    )
    save_strategy: Literal["steps", "epoch", "best", "no"] = option(
        "steps",
        "When to save a checkpoint: every save_steps or save_minutes (steps), at the end of each epoch, at each new best evaluation, or "
        "never. The last step is always saved.",
        affects_result=False,
    )
    save_steps: float | None = option(
        None,
        "Save a checkpoint every N steps, or below 1 a fraction of all steps; default: by time, see save_minutes.",
        gt=0,
        values={"-1": None},
        affects_result=False,
    )
    saves_per_epoch: int | None = option(None, "Checkpoints per epoch, instead of save_steps.", ge=1, affects_result=False)
    save_only_model: bool = option(
        False,
        "Save only the model in checkpoints: smaller, but no run can be resumed from them. A stopped run still saves a complete one.",
        affects_result=False,
    )
    save_minutes: float = option(
        10.0, "Without save_steps: maximum minutes between checkpoints. The last step is always saved.", gt=0, affects_result=False
    )
    save_total_limit: int | None = option(
        2,
        "Number of newest checkpoints to keep, in addition to the best one by metric_for_best_model; null keeps all.",
        ge=1,
        values={"-1": None},
        affects_result=False,
    )
    on_nan: Literal["stop", "skip"] = option(
        "stop", "What to do if the loss is not finite: stop the run, or skip the step; the rows are named either way.", affects_result=False
    )
    logging_steps: float = option(1, "Report metrics every N steps, or below 1 a fraction of all steps.", gt=0, affects_result=False)
    gradient_checkpointing: bool = option(
        False, "Activation checkpointing: recompute activations in the backward pass; saves memory, costs time."
    )
    activation_offload: bool = option(
        False,
        "Keep the activations that gradient_checkpointing recomputes from in main memory, not on the accelerator.",
        also=("activation_offloading", "activation_cpu_offload"),
    )
    compile: bool = option(False, "Compile the model with torch.compile.", also=("torch_compile",))
    fp8: bool = option(
        False, "Compute the matrix products of linear layers in float8 (torchao); needs a GPU with float8, and is emulated on a CPU."
    )
    kernels: str = option(
        "auto",
        "Kernels in place of the model's operations: auto (those that are installed, on an accelerator), none, or a name (liger).",
        also=("use_liger_kernel",),
        values={"true": "auto", "false": "none"},
    )

    @field_validator("warmup_steps", "eval_steps", "save_steps", "logging_steps")
    @classmethod
    def _whole(cls, value: float | None) -> float | None:
        """Refuse a part of a step."""
        if value and value > 1 and value != int(value):
            raise ValueError("a number of steps must be whole; a fraction of all steps is below 1")
        return value

    @field_validator("validation_ratio")
    @classmethod
    def _share_or_count(cls, value: float) -> float:
        """Refuse a part of a row."""
        if value > 1 and value != int(value):
            raise ValueError("a number of rows must be whole; a fraction of them is below 1")
        return value

    @model_validator(mode="after")
    def _counted_once(self) -> Self:
        for name in ("eval", "save"):
            if getattr(self, f"{name}_steps") and getattr(self, f"{name}s_per_epoch"):
                raise ValueError(f"{name}_steps and {name}s_per_epoch exclude each other: use one of them")
        return self

    @model_validator(mode="after")
    def _recomputed(self) -> Self:
        if self.activation_offload and not self.gradient_checkpointing:
            raise ValueError("activation_offload needs gradient_checkpointing, whose activations it moves to main memory")
        return self

    @model_validator(mode="after")
    def _decreases(self) -> Self:
        if self.learning_rate and self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate must not be higher than learning_rate")
        return self


class ChatOptions(TrainOptions):
    """Options of every task on conversations."""

    chat_template: str = option(
        "",
        "Chat template (Jinja file) that replaces the checkpoint's own and is saved with the result; or the name of a bundled one: "
        "deepseek-r1-distill, chatml, human-assistant.",
    )
    agent_template: Literal["", "hermes", "react"] = option(
        "",
        "Write tools, their calls and their results as text, in place of the chat template's own way, and save that with the template.",
        values={"react_en": "react"},
    )
    system: str = option("", "System prompt of the rows that have none; FILE.txt reads it from a file.", also=("default_system",))
    media: MediaOptions = option(MediaOptions, "How images are resized and videos sampled; saved with the model's processor.")
    template_variables: dict[str, bool | int | float | str] = option(
        dict, "Variables of the chat template, as JSON; they are set in the saved template.", also=("chat_template_kwargs",)
    )

    @field_validator("system")
    @classmethod
    def _read_system(cls, value: str) -> str:
        """Read the prompt from a file."""
        return Path(value).read_text(encoding="utf-8").strip() if value.endswith(".txt") and Path(value).is_file() else value


class SupervisedOptions(ChatOptions):
    """Options of every task on the answers in conversations."""

    truncation: Truncation = option(
        "error",
        "How to handle rows longer than max_length: error, cut on the left or right, split into pieces, or drop the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )
    mask: MaskOptions = option(MaskOptions, "Which tokens are supervised.")


class SftOptions(SupervisedOptions, LossOptions):
    """Options of `swift sft`."""


class PretrainOptions(TrainOptions, LossOptions):
    """Options of `swift pretrain`."""

    truncation: Truncation = option(
        "split",
        "How to handle texts longer than max_length: split into pieces, error, cut on the left or right, or drop the text.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )


class ScoreOptions(ChatOptions):
    """Options of every task that trains scores of conversations, which are those at the last token."""

    truncation: Literal["error", "left", "right", "drop"] = option(
        "error",
        "How to handle a conversation longer than max_length: error, cut on the left or right (the last token left is scored), or drop "
        "the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )
