"""Options of the LMDeploy backend. None and empty leave the choice to LMDeploy."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class LmdeployOptions(Options):
    """What `swift serve --backend lmdeploy` can be told."""

    engine: Literal["", "turbomind", "pytorch"] = option(
        "", "Engine: turbomind, pytorch; empty: turbomind where it knows the model.", also=("lmdeploy_backend",)
    )
    device: Literal["", "cuda", "ascend", "maca", "camb"] = option("", "Kind of accelerator; empty: cuda.", also=("lmdeploy_device",))
    tensor_parallel_size: int = option(1, "GPUs that share every layer: 1, 2, 4, 8, …", ge=1, also=("tp", "lmdeploy_tp"))
    data_parallel_size: int = option(1, "Copies of the model that share the requests.", ge=1, also=("dp", "lmdeploy_dp"))
    expert_parallel_size: int | None = option(None, "GPUs that the experts of a mixture are spread over.", ge=1, also=("ep", "lmdeploy_ep"))
    dtype: Literal["auto", "float16", "bfloat16"] = option(
        "auto", "Number format of the weights and activations.", also=("torch_dtype", "lmdeploy_dtype")
    )
    quantization: Literal["", "hf", "awq", "gptq", "compressed-tensors", "fp8", "mxfp4"] = option(
        "", "How the weights are stored, where config.json does not say.", also=("model_format", "lmdeploy_model_format")
    )
    max_model_len: int | None = option(
        None, "Longest prompt and answer together, in tokens.", ge=1, also=("session_len", "lmdeploy_session_len")
    )
    max_num_seqs: int | None = option(None, "Most requests computed together.", ge=1, also=("max_batch_size", "lmdeploy_max_batch_size"))
    max_num_batched_tokens: int | None = option(
        None, "Most tokens of prompts read together.", ge=1, also=("max_prefill_token_num", "lmdeploy_max_prefill_token_num")
    )
    cache_fraction: float | None = option(
        None,
        "Share of the GPU memory that the weights leave free, for the cache.",
        gt=0,
        lt=1,
        also=("cache_max_entry_count", "lmdeploy_cache_max_entry_count"),
    )
    kv_cache_dtype: Literal["", "none", "4", "8", "int4", "int8", "fp8", "fp8_e5m2", "turbo_quant"] = option(
        "", "Quantization of the KV cache.", also=("quant_policy", "lmdeploy_quant_policy")
    )
    enforce_eager: bool = option(
        False, "No CUDA graphs in the PyTorch engine: starts sooner, answers more slowly.", also=("eager_mode", "lmdeploy_eager_mode")
    )
    prefix_caching: bool = option(
        False,
        "Keep the cache of prompts for others that begin the same.",
        also=("enable_prefix_caching", "lmdeploy_enable_prefix_caching"),
    )
    speculative_method: Literal["", "eagle", "eagle3", "deepseek_mtp", "hy3_mtp", "qwen3_5_mtp", "dflash"] = option(
        "", "How tokens are guessed ahead.", also=("speculative_algorithm", "lmdeploy_speculative_algorithm")
    )
    speculative_model: str = option(
        "", "Folder of the model that guesses.", also=("speculative_draft_model", "lmdeploy_speculative_draft_model")
    )
    speculative_tokens: int | None = option(
        None,
        "Tokens that are guessed at a time.",
        ge=1,
        also=("speculative_num_draft_tokens", "lmdeploy_speculative_num_draft_tokens"),
    )
    vision_batch_size: int | None = option(
        None, "Pictures that are read together.", ge=1, also=("vision_max_batch_size", "lmdeploy_vision_batch_size")
    )
    chat_template: str = option(
        "", "JSON file in LMDeploy's own form, or the name of a template it has. It takes no Jinja.", also=("lmdeploy_chat_template",)
    )
    tool_call_parser: str = option(
        "", "How tool calls are read from answers: qwen, llama3, …; empty: they stay text.", also=("lmdeploy_tool_call_parser",)
    )
    reasoning_parser: str = option("", "How thinking is told from the answer.", also=("lmdeploy_reasoning_parser",))
    extra: list[str] = option(list, "More arguments for LMDeploy, as its command line has them. They win over all others.")
