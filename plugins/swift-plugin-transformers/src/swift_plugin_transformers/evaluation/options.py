"""Options of the evaluator `builtin`."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class BuiltinOptions(Options):
    """Options of the evaluator `builtin`."""

    rows: str = option("", "File with the rows of every task that --data does not name.")
    reference: str = option("", "Checkpoint folder that the task divergence compares with.")
    max_length: int = option(1024, "Maximum tokens of a window; longer rows are split into several.", ge=2)
    device: str = option("auto", "Device: auto, cpu, cuda, …")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "Data type of the weights.")
    bins: int = option(15, "Bins of the expected calibration error.", ge=1)
