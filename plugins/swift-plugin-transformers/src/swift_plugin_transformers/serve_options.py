"""Options of the embedded server."""

from __future__ import annotations

from swift_core.options.model import Options, option

SIZE = r"^(auto|\d+(\.\d+)?\s*[KMGT]i?B)$"


class ServeOptions(Options):
    """What `swift serve --backend transformers` can be told."""

    device: str = option("auto", "Where to compute: auto, cpu, cuda, cuda:1, mps, npu, xpu.")
    dtype: str = option("auto", "Number format of the weights: auto, float32, bfloat16, float16.", also=("torch_dtype",))
    attention: str = option("auto", "Attention implementation: auto, sdpa, eager, flash_attention_2.", also=("attn_impl",))
    max_new_tokens: int = option(2048, "Longest answer, in tokens, to a request that sets no limit of its own.", ge=1)
    batch: int = option(16, "Requests that are computed at once.", ge=1, also=("max_num_seqs",))
    memory: str = option(
        "auto", "Memory of the cached keys and values: 2GB, 512MiB; auto: a quarter of what is free, 4 GiB at most.", pattern=SIZE
    )
    queue: int = option(64, "Requests that may run or wait; more are answered with 429.", ge=1)
    timeout: float = option(600, "Seconds that a request may take in all; then it ends with 504.", gt=0)
    cors_origin: list[str] = option(list, "Origins of web pages that may read answers: https://HOST:PORT, or *.", also=("allowed_origins",))
    adapter_folder: list[str] = option(list, "Folders below which adapters may be added, with --runtime-adapters.")
