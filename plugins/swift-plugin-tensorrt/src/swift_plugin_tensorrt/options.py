"""Options of the TensorRT-LLM exporter: what `trtllm-serve` is told."""

from __future__ import annotations

from swift_core.options.model import Options, option


class TensorrtOptions(Options):
    """Sizes that the server is started with."""

    tensor_parallel_size: int = option(1, "GPUs that share each layer.", ge=1, also=("tp_size",))
    pipeline_parallel_size: int = option(1, "GPUs that have the layers one after another.", ge=1, also=("pp_size",))
    max_batch_size: int = option(64, "Most requests computed at once.", ge=1)
    max_num_tokens: int = option(8192, "Most tokens of a step.", ge=1)
    max_seq_len: int = option(0, "Tokens that a request and its answer may have; 0: the model's own.", ge=0, also=("max_model_len",))
    kv_cache_fraction: float = option(0.9, "Part of the free memory that the KV cache takes.", gt=0, lt=1)
    release: str = option("1.2.0", "Release of the container that the command names.", pattern=r"^[\w.]+$")
