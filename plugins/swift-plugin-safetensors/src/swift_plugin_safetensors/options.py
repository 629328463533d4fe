"""Options of the safetensors exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class SafetensorsOptions(Options):
    """What the files hold, and how large they are."""

    type: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Type of the weights; auto: as they are stored.", also=("torch_dtype",)
    )
    shard_size: float = option(5.0, "Gigabytes a file may have; a weight is never cut.", gt=0, also=("max_shard_size",))
