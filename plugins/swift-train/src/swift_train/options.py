"""Options of the training tasks; other tools' spellings of them are in `also`."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option

Truncation = Literal["error", "left", "right", "drop", "split"]


class StrategyOptions(Options):
    """Of every parallel strategy: the verbs' own --device sets `device`."""

    device: str = option("auto", "Device of each process: auto, cpu, cuda, npu, mps, xpu.")
    timeout: float = option(
        600.0,
        "Seconds without progress after which training is ended, and the process that hangs is named with where it is.",
        gt=0,
        also=("ddp_timeout",),
    )


def peak_learning_rate(asked: float | None, *, adapter: bool) -> float:
    """The learning rate that was asked for, or the usual one of adapters and of the model's own weights."""
    return asked or (1e-4 if adapter else 1e-5)


class TrainOptions(Options):
    """What every task that is a forward and a loss has."""

    learning_rate: float | None = option(
        None, "Highest learning rate; by default 1e-4 for adapters and 1e-5 for the model's own weights.", gt=0
    )
    max_steps: int | None = option(None, "Steps in all; it wins over epochs.", ge=1)
    epochs: float = option(1.0, "Times that every row is seen.", gt=0, also=("num_train_epochs",))
    batch_size: int = option(
        4,
        "Rows a process and micro-step; computed one by one where the architecture would let them see each other.",
        ge=1,
        also=("per_device_train_batch_size",),
    )
    gradient_accumulation_steps: int = option(1, "Micro-steps a step.", ge=1)
    micro_tokens: int | None = option(
        None,
        "Most tokens computed at once, the bound on memory; by default 512 on a CPU, and batch_size rows at once elsewhere.",
        ge=1,
    )
    max_length: int | None = option(
        None, "Most tokens a row; by default what the model can take.", ge=2, also=("cutoff_len", "max_seq_length")
    )
    warmup_ratio: float = option(0.0, "Part of the steps in which the learning rate rises.", ge=0, le=1)
    warmup_steps: int = option(0, "Steps in which the learning rate rises; it wins over warmup_ratio.", ge=0)
    schedule: Literal["linear", "cosine", "constant"] = option(
        "cosine", "How the learning rate falls after the rise.", also=("lr_scheduler_type",)
    )
    max_grad_norm: float = option(1.0, "Longest gradient; longer ones are scaled to it. 0 leaves them as they are.", ge=0)
    seed: int = option(42, "Seed of new weights, order, dropout and the held-out part.", ge=0, also=("data_seed",))
    packing: bool = option(
        False, "Fill each row up to max_length with several whole ones, which don't see each other; refused where they would."
    )
    group_by_length: bool = option(False, "Take rows of like length together, so that steps are of like size within themselves.")
    shuffle: bool = option(True, "Take the rows in a new order each epoch.", also=("train_dataloader_shuffle",))
    validation_ratio: float = option(
        0.0,
        "Part of the rows that is held out and scored, where no validation set is given.",
        ge=0,
        lt=1,
        also=("split_dataset_ratio", "val_size"),
    )
    eval_steps: int | None = option(None, "Score the held-out rows every so many steps, beside before and after.", ge=1)
    eval_batch_size: int | None = option(None, "Rows scored at once; by default batch_size.", ge=1, also=("per_device_eval_batch_size",))
    save_steps: int | None = option(None, "Keep a checkpoint every so many steps; by default by the clock: see save_minutes.", ge=1)
    save_minutes: float = option(
        10.0,
        "Without save_steps: keep a checkpoint before so many minutes have passed since the last one. One at the end is always kept.",
        gt=0,
    )
    save_total_limit: int | None = option(
        2, "Newest checkpoints that are kept, beside the one with the lowest held-out loss; null keeps all.", ge=1
    )
    on_nan: Literal["stop", "skip"] = option(
        "stop", "What a loss that is not a number does: stop the run, or leave the step out. The rows are named."
    )
    logging_steps: int = option(1, "Report every so many steps.", ge=1)
    gradient_checkpointing: bool = option(False, "Compute the forward pass twice to keep less of it: slower, in less memory.")
    compile: bool = option(False, "Compile the model with torch.compile.", also=("torch_compile",))


class MaskOptions(Options):
    """Which tokens of a conversation are learned."""

    end: Literal["turn", "separator"] = option(
        "turn",
        "Where a turn ends: with its end-of-turn token, the last that the model must say, or with the whitespace after it (separator).",
    )
    turns: Literal["all", "last", "everything"] = option(
        "all", "Which turns: all of the assistant's, its last, or everything that anyone says, as in pre-training."
    )


class SftOptions(TrainOptions):
    """swift sft."""

    truncation: Truncation = option(
        "error",
        "What is done with rows longer than max_length: stop, cut on a side, split into pieces, or leave the row out (drop).",
        also=("truncation_strategy",),
    )
    chat_template: str = option(
        "",
        "File with a chat template (Jinja) to use, and to save, instead of the checkpoint's own; or the name of a mended one: "
        "deepseek-r1-distill.",
    )
    template_variables: dict[str, bool | int | float | str] = option(
        dict, "Variables of the chat template, as JSON; they are written into it and saved with it.", also=("chat_template_kwargs",)
    )
    mask: MaskOptions = option(MaskOptions, "Which tokens are learned.")


class PretrainOptions(TrainOptions):
    """swift pretrain."""

    truncation: Truncation = option(
        "split",
        "What is done with texts longer than max_length: split, stop, cut on a side, or leave the text out.",
        also=("truncation_strategy",),
    )
