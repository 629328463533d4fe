"""Options of the SGLang backend. None and empty leave the choice to SGLang."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class SglangOptions(Options):
    """What `swift serve --backend sglang` can be told."""

    tensor_parallel_size: int = option(1, "GPUs that share every layer.", ge=1, also=("tp_size", "sglang_tp_size"))
    pipeline_parallel_size: int = option(1, "Stages that the layers are cut into.", ge=1, also=("pp_size", "sglang_pp_size"))
    data_parallel_size: int = option(1, "Copies of the model that share the requests.", ge=1, also=("dp_size", "sglang_dp_size"))
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option("auto", "Number format of the weights.", also=("torch_dtype",))
    quantization: str = option("", "How the weights are quantized, where config.json does not say.", also=("sglang_quantization",))
    max_model_len: int | None = option(None, "Longest prompt and answer.", ge=1, also=("context_length", "sglang_context_length"))
    max_num_seqs: int | None = option(None, "Most requests computed together.", ge=1, also=("max_running_requests",))
    memory_fraction: float | None = option(
        None,
        "Share of the GPU memory for weights and cache together.",
        gt=0,
        lt=1,
        also=("mem_fraction_static", "sglang_mem_fraction_static"),
    )
    kv_cache_dtype: str = option("", "Number format of the KV cache: auto, bfloat16, fp8_e5m2, …", also=("sglang_kv_cache_dtype",))
    enforce_eager: bool = option(False, "No CUDA graphs: starts sooner, slower.", also=("sglang_disable_cuda_graph",))
    prefix_caching: bool = option(True, "Keep the cache of prompts for others that begin the same.", also=("enable_prefix_caching",))
    max_lora_rank: int | None = option(None, "Highest rank of an adapter; empty: that of the adapters given.", ge=1)
    max_loras: int | None = option(None, "Models in one batch, the base counted.", ge=1, also=("max_loras_per_batch",))
    runtime_adapters: bool = option(False, "Prepare for adapters loaded while it runs; max_lora_rank says of what rank.")
    chat_template: str = option("", "File of a chat template, or the name of one that SGLang has.")
    tool_call_parser: str = option("", "How tool calls are read from answers: qwen, llama3, mistral, …; empty: they stay text.")
    reasoning_parser: str = option("", "How thinking is told from the answer: qwen3, deepseek-r1, …")
    extra: list[str] = option(list, "More arguments for SGLang, as its command line has them. They win over all others.")
