"""Options of the SGLang backend. None and empty leave the choice to SGLang."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class SglangOptions(Options):
    """What `swift serve --backend sglang` can be told."""

    tensor_parallel_size: int = option(1, "GPUs that share every layer.", ge=1, also=("tp_size", "sglang_tp_size", "tp"))
    pipeline_parallel_size: int = option(1, "Stages that the layers are cut into.", ge=1, also=("pp_size", "sglang_pp_size", "pp"))
    data_parallel_size: int = option(1, "Copies of the model that share the requests.", ge=1, also=("dp_size", "sglang_dp_size", "dp"))
    expert_parallel_size: int | None = option(
        None, "GPUs that the experts of a mixture are spread over.", ge=1, also=("ep_size", "sglang_ep_size", "ep")
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option(
        "auto", "Number format of the weights and activations.", also=("torch_dtype", "sglang_dtype")
    )
    quantization: str = option(
        "", "How the weights are quantized, where config.json does not say: fp8, gptq, awq, …", also=("sglang_quantization",)
    )
    max_model_len: int | None = option(
        None, "Longest prompt and answer together, in tokens.", ge=1, also=("context_length", "sglang_context_length")
    )
    max_num_seqs: int | None = option(
        None, "Most requests computed together.", ge=1, also=("max_running_requests", "sglang_max_running_requests")
    )
    memory_fraction: float | None = option(
        None,
        "Share of the GPU memory for weights and cache together.",
        gt=0,
        lt=1,
        also=("mem_fraction_static", "sglang_mem_fraction_static"),
    )
    max_total_tokens: int | None = option(None, "Tokens that the KV cache holds.", ge=1, also=("sglang_max_total_tokens",))
    kv_cache_dtype: str = option("", "Number format of the KV cache: auto, bfloat16, fp8_e5m2, …", also=("sglang_kv_cache_dtype",))
    enforce_eager: bool = option(
        False, "No CUDA graphs: starts sooner, answers more slowly.", also=("disable_cuda_graph", "sglang_disable_cuda_graph")
    )
    prefix_caching: bool = option(True, "Keep the cache of prompts for others that begin the same.", also=("enable_prefix_caching",))
    speculative_method: str = option(
        "",
        "How tokens are guessed ahead: EAGLE, EAGLE3, NEXTN, STANDALONE, NGRAM, …",
        also=("speculative_algorithm", "sglang_speculative_algorithm"),
    )
    speculative_model: str = option(
        "", "Folder of the model that guesses.", also=("speculative_draft_model_path", "sglang_speculative_draft_model_path")
    )
    speculative_tokens: int | None = option(
        None,
        "Guessed tokens that are checked at a time.",
        ge=1,
        also=("speculative_num_draft_tokens", "sglang_speculative_num_draft_tokens"),
    )
    speculative_steps: int | None = option(
        None, "Steps of the model that guesses.", ge=1, also=("speculative_num_steps", "sglang_speculative_num_steps")
    )
    speculative_branches: int | None = option(
        None, "Guesses kept in each step.", ge=1, also=("speculative_eagle_topk", "sglang_speculative_eagle_topk")
    )
    max_lora_rank: int | None = option(
        None, "Highest rank of an adapter; empty: that of the adapters given.", ge=1, also=("sglang_max_lora_rank",)
    )
    max_loras: int | None = option(
        None, "Models in one batch, the base counted.", ge=1, also=("max_loras_per_batch", "sglang_max_loras_per_batch")
    )
    max_cpu_loras: int | None = option(None, "Adapters kept in main memory.", ge=1, also=("max_loaded_loras", "sglang_max_loaded_loras"))
    chat_template: str = option("", "File of a chat template, or the name of one that SGLang has.", also=("sglang_chat_template",))
    tool_call_parser: str = option(
        "", "How tool calls are read from answers: qwen, llama3, mistral, …; empty: they stay text.", also=("sglang_tool_call_parser",)
    )
    reasoning_parser: str = option("", "How thinking is told from the answer: qwen3, deepseek-r1, …", also=("sglang_reasoning_parser",))
    extra: list[str] = option(list, "More arguments for SGLang, as its command line has them. They win over all others.")
