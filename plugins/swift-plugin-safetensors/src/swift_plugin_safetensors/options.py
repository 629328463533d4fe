"""Options of the safetensors exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class SafetensorsOptions(Options):
    """Options of the `safetensors` exporter."""

    type: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Data type of the weights; auto keeps the stored one.", also=("torch_dtype",)
    )
    shard_size: float = option(5.0, "Maximum file size in GB; a single tensor is never divided.", gt=0, also=("max_shard_size",))
