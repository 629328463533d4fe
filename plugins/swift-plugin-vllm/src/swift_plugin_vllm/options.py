"""Options of the vLLM backend. None and empty leave the choice to vLLM."""

from __future__ import annotations

from typing import Any, Literal

from swift_core.options.model import Options, option


class VllmOptions(Options):
    """What `swift serve --backend vllm` can be told."""

    tensor_parallel_size: int = option(1, "GPUs that share every layer.", ge=1, also=("vllm_tensor_parallel_size", "tp"))
    pipeline_parallel_size: int = option(
        1, "Stages that the layers are cut into, each on its own GPUs.", ge=1, also=("vllm_pipeline_parallel_size", "pp")
    )
    data_parallel_size: int = option(1, "Copies of the model that share the requests.", ge=1, also=("vllm_data_parallel_size", "dp"))
    expert_parallel: bool = option(
        False,
        "Spread the experts of a mixture over the GPUs, in place of cutting each.",
        also=("vllm_enable_expert_parallel", "enable_expert_parallel"),
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option(
        "auto", "Number format of the weights and activations.", also=("torch_dtype", "vllm_dtype")
    )
    quantization: str = option(
        "", "How the weights are quantized, where config.json does not say: fp8, gptq, awq, …", also=("vllm_quantization",)
    )
    max_model_len: int | None = option(None, "Longest prompt and answer together, in tokens.", ge=1, also=("vllm_max_model_len",))
    max_num_seqs: int | None = option(None, "Most requests computed together.", ge=1, also=("vllm_max_num_seqs",))
    max_num_batched_tokens: int | None = option(
        None, "Most tokens computed together; longer prompts are read in parts.", ge=1, also=("vllm_max_num_batched_tokens",)
    )
    gpu_memory_utilization: float | None = option(
        None, "Share of the GPU memory to use, for weights and cache.", gt=0, le=1, also=("vllm_gpu_memory_utilization",)
    )
    cpu_offload_gib: float | None = option(
        None, "Part of the weights that stays in main memory, in GiB a GPU.", gt=0, also=("cpu_offload_gb", "vllm_cpu_offload_gb")
    )
    cpu_kv_cache_gib: int | None = option(None, "Memory for the KV cache where vLLM runs on the CPU, in GiB.", ge=1)
    cpu_threads: str = option("", "Cores that vLLM computes on where it runs on the CPU: 0-31, …; nobind leaves it to the system.")
    kv_cache_dtype: str = option(
        "", "Number format of the KV cache: auto, bfloat16, fp8, fp8_e4m3, fp8_e5m2, …", also=("vllm_kv_cache_dtype",)
    )
    enforce_eager: bool = option(
        False, "No compilation and no CUDA graphs: starts sooner, answers more slowly.", also=("vllm_enforce_eager",)
    )
    prefix_caching: bool | None = option(
        None, "Keep the cache of prompts for others that begin the same.", also=("vllm_enable_prefix_caching", "enable_prefix_caching")
    )
    speculative_method: str = option("", "How tokens are guessed ahead: draft_model, eagle, eagle3, ngram, mtp, …")
    speculative_model: str = option("", "Folder of the model that guesses.")
    speculative_tokens: int | None = option(None, "Tokens that are guessed at a time.", ge=1, also=("num_speculative_tokens",))
    speculative_config: dict[str, Any] = option(
        dict, "Further settings of the guessing, as JSON: vLLM's own names.", also=("vllm_speculative_config",)
    )
    max_lora_rank: int | None = option(
        None, "Highest rank of an adapter; empty: that of the adapters given.", ge=1, also=("vllm_max_lora_rank",)
    )
    max_loras: int | None = option(None, "Adapters in one batch; empty: as many as are given.", ge=1, also=("vllm_max_loras",))
    max_cpu_loras: int | None = option(None, "Adapters kept in main memory.", ge=1, also=("vllm_max_cpu_loras",))
    limit_mm_per_prompt: dict[str, Any] = option(
        dict, 'Most pictures, videos and sounds in a prompt, as JSON: {"image": 4}.', also=("vllm_limit_mm_per_prompt",)
    )
    hf_overrides: dict[str, Any] = option(dict, "Values in place of those in config.json, as JSON.", also=("vllm_hf_overrides",))
    chat_template: str = option("", "File of a Jinja chat template to use in place of the tokenizer's.", also=("vllm_chat_template",))
    tool_call_parser: str = option(
        "", "How tool calls are read from answers: hermes, llama3_json, mistral, …; empty: they stay text.", also=("vllm_tool_call_parser",)
    )
    reasoning_parser: str = option("", "How thinking is told from the answer: qwen3, deepseek_r1, …", also=("vllm_reasoning_parser",))
    extra: list[str] = option(list, "More arguments for vLLM, as its command line has them. They win over all others.")
