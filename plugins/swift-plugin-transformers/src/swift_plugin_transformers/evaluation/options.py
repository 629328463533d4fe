"""Options of the evaluator `builtin`."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option

TASKS = ("perplexity", "divergence", "preference", "calibration", "speed")
DEFAULT_TASK = TASKS[0]


class BuiltinOptions(Options):
    """Options of the evaluator `builtin`."""

    rows: str = option("", "File with the rows of every task that --data does not name.")
    reference: str = option("", "Checkpoint folder that the task divergence compares with.")
    max_length: int = option(1024, "Maximum tokens of a window; longer rows are split into several.", ge=2)
    micro_tokens: int | None = option(
        None, "Maximum tokens of a forward pass that several rows share; default 512 on a CPU, 8192 elsewhere.", ge=1
    )
    device: str = option("auto", "Device: auto, cpu, cuda, …")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "Data type of the weights.")
    bins: int = option(15, "Bins of the expected calibration error.", ge=1)
