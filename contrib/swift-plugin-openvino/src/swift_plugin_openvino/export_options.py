"""Options of the exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class OpenvinoExportOptions(Options):
    """What the folder holds."""

    type: Literal["fp32", "fp16", "int8", "int4"] = option("int8", "Type of the weights: fp32, fp16, int8, int4.", also=("weight_format",))
    group_size: int = option(64, "Weights that share a scale, with int4; -1: a whole row.", ge=-1)
