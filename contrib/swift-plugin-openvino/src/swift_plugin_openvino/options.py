"""Options of the OpenVINO backend."""

from __future__ import annotations

from typing import Any, Literal

from swift_core.options.model import Options, option


class OpenvinoOptions(Options):
    """What `swift serve --backend openvino` can be told."""

    device: str = option("CPU", "Where to compute, as OpenVINO names it: CPU, GPU, GPU.1, AUTO.")
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = option(
        "float32",
        "Number format of the activations; auto is what OpenVINO takes, bfloat16 where the processor has it: faster, and seen to "
        "answer nonsense from a model in 8 bits.",
        also=("torch_dtype",),
    )
    exact: bool = option(
        False,
        "Compute in float32 throughout, the cache too: an answer is then the same whatever is computed beside it. It takes more time "
        "and up to four times the memory.",
    )
    batch: int = option(16, "Requests that are computed at once.", ge=1, also=("max_num_seqs",))
    step: int = option(256, "Most tokens computed in one step; longer prompts are read in parts.", ge=1, also=("max_num_batched_tokens",))
    cache_gib: int = option(2, "Most memory of the cached keys and values, in GiB.", ge=1, also=("cache_size",))
    prefix_caching: bool = option(False, "Keep the cache of prompts for others that begin the same.", also=("enable_prefix_caching",))
    max_new_tokens: int = option(2048, "Longest answer, in tokens, to a request that sets no limit of its own.", ge=1)
    chat_template: str = option("", "File of a Jinja chat template to use in place of the model's.")
    queue: int = option(64, "Requests that may run or wait; more are answered with 429.", ge=1)
    timeout: float = option(600, "Seconds that a request may take in all; then it ends with 504.", gt=0)
    cors_origin: list[str] = option(list, "Origins of web pages that may read answers: https://HOST:PORT, or *.", also=("allowed_origins",))
    properties: dict[str, Any] = option(
        dict, 'More of OpenVINO\'s properties, as JSON: {"INFERENCE_NUM_THREADS": 4}. They win over all others.'
    )
