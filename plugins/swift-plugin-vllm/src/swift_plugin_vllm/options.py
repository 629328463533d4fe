"""Options of the vLLM backend. None and empty leave the choice to vLLM."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class VllmOptions(Options):
    """What `swift serve --backend vllm` can be told."""

    tensor_parallel_size: int = option(1, "GPUs that share every layer.", ge=1, also=("vllm_tensor_parallel_size",))
    pipeline_parallel_size: int = option(
        1, "Stages that the layers are cut into, each on its own GPUs.", ge=1, also=("vllm_pipeline_parallel_size",)
    )
    data_parallel_size: int = option(1, "Copies of the model that share the requests.", ge=1, also=("vllm_data_parallel_size",))
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = option(
        "auto", "Number format of the weights and activations.", also=("torch_dtype",)
    )
    quantization: str = option(
        "", "How the weights are quantized, where config.json does not say: fp8, gptq, awq, …", also=("vllm_quantization",)
    )
    max_model_len: int | None = option(None, "Longest prompt and answer together, in tokens.", ge=1, also=("vllm_max_model_len",))
    max_num_seqs: int | None = option(None, "Most requests computed together.", ge=1, also=("vllm_max_num_seqs",))
    gpu_memory_utilization: float | None = option(
        None, "Share of the GPU memory to use, for weights and cache.", gt=0, le=1, also=("vllm_gpu_memory_utilization",)
    )
    cpu_kv_cache_gib: int | None = option(None, "Memory for the KV cache where vLLM runs on the CPU, in GiB.", ge=1)
    kv_cache_dtype: str = option("", "Number format of the KV cache: auto, bfloat16, fp8, fp8_e4m3, fp8_e5m2, …")
    enforce_eager: bool = option(
        False, "No compilation and no CUDA graphs: starts sooner, answers more slowly.", also=("vllm_enforce_eager",)
    )
    prefix_caching: bool | None = option(
        None, "Keep the cache of prompts for others that begin the same.", also=("vllm_enable_prefix_caching", "enable_prefix_caching")
    )
    max_lora_rank: int | None = option(
        None, "Highest rank of an adapter; empty: that of the adapters given.", ge=1, also=("vllm_max_lora_rank",)
    )
    max_loras: int | None = option(None, "Adapters in one batch; empty: as many as are given.", ge=1)
    runtime_adapters: bool = option(
        False, "Let clients load and drop adapters while it runs. Whoever has the API key can then name folders to load."
    )
    chat_template: str = option("", "File of a Jinja chat template to use in place of the tokenizer's.")
    tool_call_parser: str = option("", "How tool calls are read from answers: hermes, llama3_json, mistral, …; empty: they stay text.")
    reasoning_parser: str = option("", "How thinking is told from the answer: qwen3, deepseek_r1, …", also=("vllm_reasoning_parser",))
    extra: list[str] = option(list, "More arguments for vLLM, as its command line has them. They win over all others.")
