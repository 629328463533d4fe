"""Options of the `tensorrt` exporter."""

from __future__ import annotations

from swift_core.options import Options, option


class TensorrtOptions(Options):
    """Settings of `trtllm-serve`."""

    tensor_parallel_size: int = option(1, "Number of GPUs for tensor parallelism.", ge=1, also=("tp_size",))
    pipeline_parallel_size: int = option(1, "Number of GPUs for pipeline parallelism.", ge=1, also=("pp_size",))
    max_batch_size: int = option(64, "Maximum batch size, in requests.", ge=1)
    max_num_tokens: int = option(8192, "Maximum tokens per batch.", ge=1)
    max_seq_len: int = option(0, "Maximum sequence length (prompt and response); 0 uses the model's.", ge=0, also=("max_model_len",))
    kv_cache_fraction: float = option(0.9, "Fraction of free GPU memory for the KV cache.", gt=0, lt=1)
    release: str = option("1.2.0", "Release of the TensorRT-LLM container in serve.sh.", pattern=r"^[\w.]+$")
