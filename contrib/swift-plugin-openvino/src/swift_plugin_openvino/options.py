"""Options of the `openvino` backend."""

from __future__ import annotations

from typing import Any, Literal

from swift_core.options import Options, option


class OpenvinoOptions(Options):
    """Options of `swift serve --backend openvino`."""

    device: str = option("CPU", "OpenVINO device: CPU, GPU, GPU.1, AUTO.")
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = option(
        "float32",
        "Data type of the activations; auto is OpenVINO's choice, bfloat16 if the CPU supports it: faster, but unreliable with "
        "8-bit models.",
        also=("torch_dtype",),
    )
    exact: bool = option(
        False,
        "Compute everything in float32, including the KV cache, so that responses do not depend on the batch; slower, and up to "
        "four times the memory.",
    )
    batch: int = option(16, "Maximum batch size, in requests.", ge=1, also=("max_num_seqs",))
    step: int = option(256, "Maximum tokens per step; longer prompts are processed in chunks.", ge=1, also=("max_num_batched_tokens",))
    cache_gib: int = option(2, "Maximum size of the KV cache, in GiB.", ge=1, also=("cache_size",))
    prefix_caching: bool = option(False, "Reuse the KV cache of common prompt prefixes.", also=("enable_prefix_caching",))
    max_new_tokens: int = option(2048, "Maximum new tokens of a request that sets no limit.", ge=1)
    chat_template: str = option("", "File with a Jinja chat template that replaces the model's.")
    queue: int = option(64, "Maximum number of running and waiting requests; more get HTTP 429.", ge=1)
    timeout: float = option(600, "Maximum duration of a request in seconds; then it ends with HTTP 504.", gt=0)
    cors_origin: list[str] = option(list, "Allowed CORS origins: https://HOST:PORT, or *.", also=("allowed_origins",))
    properties: dict[str, Any] = option(
        dict, 'Further OpenVINO properties, as JSON: {"INFERENCE_NUM_THREADS": 4}; they override the other options.'
    )
