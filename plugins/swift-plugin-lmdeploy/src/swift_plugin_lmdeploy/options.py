"""Options of the LMDeploy backend. None and empty values leave LMDeploy's default."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class LmdeployOptions(Options):
    """Options of `swift serve --backend lmdeploy`."""

    engine: Literal["", "turbomind", "pytorch"] = option(
        "", "Engine: turbomind or pytorch; empty: turbomind if it supports the model.", also=("lmdeploy_backend",)
    )
    device: Literal["", "cuda", "ascend", "maca", "camb"] = option("", "Accelerator type; empty: cuda.", also=("lmdeploy_device",))
    tensor_parallel_size: int = option(
        1, "Tensor parallelism: number of GPUs that every layer is sharded over: 1, 2, 4, 8, …", ge=1, also=("tp", "lmdeploy_tp")
    )
    data_parallel_size: int = option(
        1, "Data parallelism: number of model replicas that share the requests.", ge=1, also=("dp", "lmdeploy_dp")
    )
    expert_parallel_size: int | None = option(
        None, "Expert parallelism: number of GPUs that the experts are distributed over.", ge=1, also=("ep", "lmdeploy_ep")
    )
    dtype: Literal["auto", "float16", "bfloat16"] = option(
        "auto", "Data type of weights and activations; auto: that of the checkpoint.", also=("torch_dtype", "lmdeploy_dtype")
    )
    quantization: Literal["", "hf", "awq", "gptq", "compressed-tensors", "fp8", "mxfp4"] = option(
        "", "Format of the weights, if config.json does not state it.", also=("model_format", "lmdeploy_model_format")
    )
    max_model_len: int | None = option(
        None, "Maximum context length, prompt plus answer, in tokens.", ge=1, also=("session_len", "lmdeploy_session_len")
    )
    max_num_seqs: int | None = option(
        None, "Maximum number of sequences per batch.", ge=1, also=("max_batch_size", "lmdeploy_max_batch_size")
    )
    max_num_batched_tokens: int | None = option(
        None, "Maximum number of prompt tokens per prefill step.", ge=1, also=("max_prefill_token_num", "lmdeploy_max_prefill_token_num")
    )
    cache_fraction: float | None = option(
        None,
        "Fraction of the GPU memory left free by the weights to use for the KV cache.",
        gt=0,
        lt=1,
        also=("cache_max_entry_count", "lmdeploy_cache_max_entry_count"),
    )
    kv_cache_dtype: Literal["", "none", "4", "8", "int4", "int8", "fp8", "fp8_e5m2", "turbo_quant"] = option(
        "", "Quantization of the KV cache.", also=("quant_policy", "lmdeploy_quant_policy")
    )
    enforce_eager: bool = option(
        False, "Disable CUDA graphs in the PyTorch engine: faster start, slower generation.", also=("eager_mode", "lmdeploy_eager_mode")
    )
    prefix_caching: bool = option(
        False,
        "Reuse the KV cache of common prompt prefixes.",
        also=("enable_prefix_caching", "lmdeploy_enable_prefix_caching"),
    )
    speculative_method: Literal["", "eagle", "eagle3", "deepseek_mtp", "hy3_mtp", "qwen3_5_mtp", "dflash"] = option(
        "", "Speculative decoding algorithm.", also=("speculative_algorithm", "lmdeploy_speculative_algorithm")
    )
    speculative_model: str = option(
        "", "Folder of the draft model for speculative decoding.", also=("speculative_draft_model", "lmdeploy_speculative_draft_model")
    )
    speculative_tokens: int | None = option(
        None,
        "Number of tokens to draft per step.",
        ge=1,
        also=("speculative_num_draft_tokens", "lmdeploy_speculative_num_draft_tokens"),
    )
    vision_batch_size: int | None = option(
        None, "Number of images to encode per batch.", ge=1, also=("vision_max_batch_size", "lmdeploy_vision_batch_size")
    )
    chat_template: str = option(
        "",
        "JSON template file in LMDeploy's format, or the name of one of its templates; Jinja is not supported.",
        also=("lmdeploy_chat_template",),
    )
    tool_call_parser: str = option(
        "", "Parser of tool calls in answers: qwen, llama3, …; empty: no parsing.", also=("lmdeploy_tool_call_parser",)
    )
    reasoning_parser: str = option("", "Parser that separates reasoning from the answer.", also=("lmdeploy_reasoning_parser",))
    extra: list[str] = option(list, "Further command-line arguments for LMDeploy; they override all others.")
