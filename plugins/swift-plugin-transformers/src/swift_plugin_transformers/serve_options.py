"""Options of the embedded server."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option

SIZE = r"^(auto|\d+(\.\d+)?\s*[KMGT]i?B)$"


class ServeOptions(Options):
    """Options of `swift serve --backend transformers`."""

    device: str = option("auto", "Device: auto, cpu, cuda, cuda:1, mps, npu, xpu.")
    dtype: str = option("auto", "Data type of the weights: auto, float32, bfloat16, float16.", also=("torch_dtype",))
    attention: str = option("auto", "Attention implementation: auto, sdpa, eager, flash_attention_2.", also=("attn_impl",))
    max_new_tokens: int = option(2048, "Maximum new tokens per completion, for requests that set no limit.", ge=1)
    batch: int = option(16, "Maximum batch size: requests computed at the same time.", ge=1, also=("max_num_seqs",))
    memory: str = option(
        "auto", "Size of the KV cache, such as 2GB or 512MiB; auto: a quarter of the free memory, at most 4 GiB.", pattern=SIZE
    )
    queue: int = option(64, "Maximum number of running and queued requests; further ones get status 429.", ge=1)
    timeout: float = option(600, "Request timeout, in seconds; a request that exceeds it gets status 504.", gt=0)
    cors_origin: list[str] = option(
        list, "Origins of web pages that may read responses (CORS): https://HOST:PORT, or *.", also=("allowed_origins",)
    )
    adapter_folder: list[str] = option(
        list, "Folders below which adapters and weights may be loaded at runtime, with --runtime-adapters and --runtime-weights."
    )
    speculative_tokens: int = option(
        0,
        "Speculative decoding: maximum draft tokens per forward pass, with up to four running requests. The output is the same, sooner if "
        "drafts are right. 0: off.",
        ge=0,
        le=32,
        also=("num_speculative_tokens",),
    )
    draft_model: str = option(
        "",
        "Checkpoint folder of a smaller model with the same tokenizer, which drafts them; by default they are looked up in the tokens of "
        "the request itself (n-grams).",
    )
    max_logprobs: int = option(20, "Maximum number of log-probabilities per token that a request may ask for.", ge=0)
    logprobs_mode: Literal["raw_logprobs", "processed_logprobs"] = option(
        "raw_logprobs",
        "Log-probabilities that are returned: of the model (raw_logprobs), or of the distribution that tokens are sampled from, after "
        "temperature, penalties and truncation (processed_logprobs).",
    )
    media_folder: str = option(
        "",
        "Folder below which requests may name images, videos and audio files as file:// URLs; by default none.",
        also=("allowed_local_media_path",),
    )
    media_domain: list[str] = option(
        list,
        "Hosts that images, videos and audio files in requests may be fetched from; by default none.",
        also=("allowed_media_domains",),
    )
