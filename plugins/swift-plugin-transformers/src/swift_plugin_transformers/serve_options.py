"""Options of the embedded server."""

from __future__ import annotations

from swift_core.options import Options, option


class ServeOptions(Options):
    """What `swift serve --backend transformers` can be told."""

    device: str = option("auto", "Where to compute: auto, cpu, cuda, cuda:1, mps, npu, xpu.")
    dtype: str = option("auto", "Number format of the weights: auto, float32, bfloat16, float16.", also=("torch_dtype",))
    attention: str = option("auto", "Attention implementation: auto, sdpa, eager, flash_attention_2.", also=("attn_impl",))
    max_new_tokens: int = option(2048, "Longest answer, in tokens, to a request that sets no limit of its own.", ge=1)
    queue: int = option(64, "Requests that may run or wait; more are answered with 429.", ge=1, also=("max_num_seqs",))
