"""Options of the vLLM backend. None and empty values leave vLLM's default."""

from __future__ import annotations

from typing import Any, Literal

from swift_core.options import Options, option


class VllmOptions(Options):
    """Options of `swift serve --backend vllm`."""

    tensor_parallel_size: int = option(
        1, "Tensor parallelism: number of GPUs that every layer is sharded over.", ge=1, also=("vllm_tensor_parallel_size", "tp")
    )
    pipeline_parallel_size: int = option(
        1, "Pipeline parallelism: number of stages that the layers are split into.", ge=1, also=("vllm_pipeline_parallel_size", "pp")
    )
    data_parallel_size: int = option(
        1, "Data parallelism: number of model replicas that share the requests.", ge=1, also=("vllm_data_parallel_size", "dp")
    )
    expert_parallel: bool = option(
        False,
        "Expert parallelism: distribute whole experts over the GPUs instead of sharding each expert.",
        also=("vllm_enable_expert_parallel", "enable_expert_parallel"),
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option(
        "auto", "Data type of weights and activations; auto: that of the checkpoint.", also=("torch_dtype", "vllm_dtype")
    )
    quantization: str = option(
        "", "Quantization method of the weights, if config.json does not state it: fp8, gptq, awq, …", also=("vllm_quantization",)
    )
    max_model_len: int | None = option(None, "Maximum context length, prompt plus answer, in tokens.", ge=1, also=("vllm_max_model_len",))
    max_num_seqs: int | None = option(None, "Maximum number of sequences per batch.", ge=1, also=("vllm_max_num_seqs",))
    max_num_batched_tokens: int | None = option(
        None, "Maximum tokens per forward pass; longer prompts are prefilled in chunks.", ge=1, also=("vllm_max_num_batched_tokens",)
    )
    gpu_memory_utilization: float | None = option(
        None, "Fraction of the GPU memory to use for weights and KV cache.", gt=0, le=1, also=("vllm_gpu_memory_utilization",)
    )
    cpu_offload_gib: float | None = option(
        None, "Weights to offload to main memory, in GiB per GPU.", gt=0, also=("cpu_offload_gb", "vllm_cpu_offload_gb")
    )
    cpu_kv_cache_gib: int | None = option(None, "Size of the KV cache in GiB, if vLLM runs on the CPU.", ge=1)
    cpu_threads: str = option("", "CPU cores to bind threads to, if vLLM runs on the CPU: 0-31, …; nobind: no binding.")
    kv_cache_dtype: str = option("", "Data type of the KV cache: auto, bfloat16, fp8, fp8_e4m3, fp8_e5m2, …", also=("vllm_kv_cache_dtype",))
    enforce_eager: bool = option(
        False, "Disable compilation and CUDA graphs: faster start, slower generation.", also=("vllm_enforce_eager",)
    )
    prefix_caching: bool | None = option(
        None, "Reuse the KV cache of common prompt prefixes.", also=("vllm_enable_prefix_caching", "enable_prefix_caching")
    )
    speculative_method: str = option("", "Speculative decoding method: draft_model, eagle, eagle3, ngram, mtp, …")
    speculative_model: str = option("", "Folder of the draft model for speculative decoding.")
    speculative_tokens: int | None = option(None, "Number of tokens to draft per step.", ge=1, also=("num_speculative_tokens",))
    speculative_config: dict[str, Any] = option(
        dict, "Further settings of speculative decoding as JSON, by vLLM's names.", also=("vllm_speculative_config",)
    )
    max_lora_rank: int | None = option(
        None, "Maximum rank of an adapter; by default the highest of the given adapters.", ge=1, also=("vllm_max_lora_rank",)
    )
    max_loras: int | None = option(
        None, "Maximum number of adapters in one batch; by default the number given.", ge=1, also=("vllm_max_loras",)
    )
    max_cpu_loras: int | None = option(None, "Maximum number of adapters cached in main memory.", ge=1, also=("vllm_max_cpu_loras",))
    limit_mm_per_prompt: dict[str, Any] = option(
        dict, 'Maximum number of images, videos and audios per prompt, as JSON: {"image": 4}.', also=("vllm_limit_mm_per_prompt",)
    )
    hf_overrides: dict[str, Any] = option(dict, "Values that override those of config.json, as JSON.", also=("vllm_hf_overrides",))
    chat_template: str = option("", "Jinja chat template file that replaces the tokenizer's template.", also=("vllm_chat_template",))
    tool_call_parser: str = option(
        "", "Parser of tool calls in answers: hermes, llama3_json, mistral, …; empty: no parsing.", also=("vllm_tool_call_parser",)
    )
    reasoning_parser: str = option(
        "", "Parser that separates reasoning from the answer: qwen3, deepseek_r1, …", also=("vllm_reasoning_parser",)
    )
    logprobs_mode: Literal["raw_logprobs", "processed_logprobs"] | None = option(
        None,
        "Log-probabilities that are returned: of the model (raw_logprobs, the default), or of the distribution that tokens are sampled "
        "from, after temperature, penalties and truncation (processed_logprobs).",
    )
    max_logprobs: int | None = option(
        None, "Maximum number of log-probabilities per token that a request may ask for; -1: no limit.", ge=-1, also=("vllm_max_logprobs",)
    )
    max_new_tokens: int | None = option(None, "Maximum new tokens per answer, and the default of requests.", ge=1)
    temperature: float | None = option(None, "Sampling temperature of requests that set none.", ge=0)
    top_p: float | None = option(None, "Nucleus sampling of requests that set none.", gt=0, le=1)
    top_k: int | None = option(None, "Number of most likely tokens to sample from, for requests that set none.", ge=-1)
    repetition_penalty: float | None = option(None, "Repetition penalty of requests that set none.", gt=0)
    extra: list[str] = option(list, "Further command-line arguments for vLLM; they override all others.")
