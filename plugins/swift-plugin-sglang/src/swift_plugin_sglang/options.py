"""Options of the SGLang backend. None and empty values leave SGLang's default."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class SglangOptions(Options):
    """Options of `swift serve --backend sglang`."""

    tensor_parallel_size: int = option(
        1, "Tensor parallelism: number of GPUs that every layer is sharded over.", ge=1, also=("tp_size", "sglang_tp_size", "tp")
    )
    pipeline_parallel_size: int = option(
        1, "Pipeline parallelism: number of stages that the layers are split into.", ge=1, also=("pp_size", "sglang_pp_size", "pp")
    )
    data_parallel_size: int = option(
        1, "Data parallelism: number of model replicas that share the requests.", ge=1, also=("dp_size", "sglang_dp_size", "dp")
    )
    expert_parallel_size: int | None = option(
        None, "Expert parallelism: number of GPUs that the experts are distributed over.", ge=1, also=("ep_size", "sglang_ep_size", "ep")
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option(
        "auto", "Data type of weights and activations; auto: that of the checkpoint.", also=("torch_dtype", "sglang_dtype")
    )
    quantization: str = option(
        "", "Quantization method of the weights, if config.json does not state it: fp8, gptq, awq, …", also=("sglang_quantization",)
    )
    max_model_len: int | None = option(
        None, "Maximum context length, prompt plus answer, in tokens.", ge=1, also=("context_length", "sglang_context_length")
    )
    max_num_seqs: int | None = option(
        None, "Maximum number of requests that run concurrently.", ge=1, also=("max_running_requests", "sglang_max_running_requests")
    )
    memory_fraction: float | None = option(
        None,
        "Fraction of the GPU memory for weights and KV cache.",
        gt=0,
        lt=1,
        also=("mem_fraction_static", "sglang_mem_fraction_static"),
    )
    max_total_tokens: int | None = option(None, "Capacity of the KV cache, in tokens.", ge=1, also=("sglang_max_total_tokens",))
    kv_cache_dtype: str = option("", "Data type of the KV cache: auto, bfloat16, fp8_e5m2, …", also=("sglang_kv_cache_dtype",))
    enforce_eager: bool = option(
        False, "Disable CUDA graphs: faster start, slower generation.", also=("disable_cuda_graph", "sglang_disable_cuda_graph")
    )
    prefix_caching: bool = option(True, "Reuse the KV cache of common prompt prefixes (radix cache).", also=("enable_prefix_caching",))
    speculative_method: str = option(
        "",
        "Speculative decoding algorithm: EAGLE, EAGLE3, NEXTN, STANDALONE, NGRAM, …",
        also=("speculative_algorithm", "sglang_speculative_algorithm"),
    )
    speculative_model: str = option(
        "",
        "Folder of the draft model for speculative decoding.",
        also=("speculative_draft_model_path", "sglang_speculative_draft_model_path"),
    )
    speculative_tokens: int | None = option(
        None,
        "Number of draft tokens to verify per step.",
        ge=1,
        also=("speculative_num_draft_tokens", "sglang_speculative_num_draft_tokens"),
    )
    speculative_steps: int | None = option(
        None, "Number of draft steps per verification.", ge=1, also=("speculative_num_steps", "sglang_speculative_num_steps")
    )
    speculative_branches: int | None = option(
        None,
        "Number of candidate tokens kept per draft step (top-k).",
        ge=1,
        also=("speculative_eagle_topk", "sglang_speculative_eagle_topk"),
    )
    max_lora_rank: int | None = option(
        None, "Maximum rank of an adapter; by default the highest of the given adapters.", ge=1, also=("sglang_max_lora_rank",)
    )
    max_loras: int | None = option(
        None,
        "Maximum number of adapters in one batch, the base model included.",
        ge=1,
        also=("max_loras_per_batch", "sglang_max_loras_per_batch"),
    )
    max_cpu_loras: int | None = option(
        None, "Maximum number of adapters cached in main memory.", ge=1, also=("max_loaded_loras", "sglang_max_loaded_loras")
    )
    chat_template: str = option("", "Chat template file, or the name of one of SGLang's templates.", also=("sglang_chat_template",))
    tool_call_parser: str = option(
        "", "Parser of tool calls in answers: qwen, llama3, mistral, …; empty: no parsing.", also=("sglang_tool_call_parser",)
    )
    reasoning_parser: str = option(
        "", "Parser that separates reasoning from the answer: qwen3, deepseek-r1, …", also=("sglang_reasoning_parser",)
    )
    extra: list[str] = option(list, "Further command-line arguments for SGLang; they override all others.")
