"""Options of the `openvino-ir` exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class OpenvinoExportOptions(Options):
    """Precision of the exported model."""

    type: Literal["fp32", "fp16", "int8", "int4"] = option("int8", "Weight type: fp32, fp16, int8 or int4.", also=("weight_format",))
    group_size: int = option(64, "Weights per int4 quantization group; -1: one group per row.", ge=-1)
