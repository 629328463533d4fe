"""Tiny random checkpoints of families whose processors read several kinds of media or cut images in their own way: Gemma 4, MiniCPM-V,
Phi-4-multimodal, Kimi K2.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_testing.small_configs import small
from swift_testing.vision_models import Kind, token_ids

_TORCHVISION = ("torchvision",)


def _gemma4(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import Gemma4AudioConfig, Gemma4VisionConfig

    ids = {"image_token_id": "<|image|>", "boi_token_id": "<|boi|>", "eoi_token_id": "<|eoi|>", "video_token_id": "<|video|>"}
    token_ids(fields, tokenizer, **ids, audio_token_id="<|audio|>", boa_token_id="<|boa|>", eoa_token_id="<|eoa|>")
    fields["vision_config"] = {**small(Gemma4VisionConfig), "patch_size": 14, "pooling_kernel_size": 2, "default_output_length": 4}
    fields["audio_config"] = small(Gemma4AudioConfig)
    fields["text_config"]["vocab_size_per_layer_input"] = len(tokenizer)


def _gemma4_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Gemma4AudioFeatureExtractor, Gemma4Processor, Gemma4VideoProcessor
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    sizes: dict[str, Any] = {"patch_size": 14, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    return Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessorPil(**sizes),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(**sizes),
        image_seq_length=70,
    )


_GEMMA4_TOKENS = {
    "image_token": "<|image|>", "boi_token": "<|boi|>", "eoi_token": "<|eoi|>", "audio_token": "<|audio|>", "boa_token": "<|boa|>",
    "eoa_token": "<|eoa|>",
}  # fmt: skip


def _minicpm(fields: dict[str, Any], tokenizer: Any) -> None:
    token_ids(fields, tokenizer, image_token_id="<image_pad>", video_token_id="<video_pad>")
    fields["vision_config"] |= {"image_size": 112, "patch_size": 14, "insert_layer_id": 1, "num_hidden_layers": 3}
    fields |= {"insert_layer_id": 1, "image_size": 112}
    fields["text_config"]["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}


def _minicpm_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import MiniCPMV4_6Processor, MiniCPMV4_6VideoProcessor
    from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil

    images = MiniCPMV4_6ImageProcessorPil(scale_resolution=112, patch_size=14, max_slice_nums=4)
    videos = MiniCPMV4_6VideoProcessor(scale_resolution=112, patch_size=14)
    return MiniCPMV4_6Processor(image_processor=images, video_processor=videos, tokenizer=tokenizer)  # type: ignore[no-untyped-call]


_MINICPM_TOKENS = {
    "image_token": "<image_pad>", "video_token": "<video_pad>",
    **{f"{name}_{end}_token": f"<{'/' * (end == 'end')}{name}>" for name in ("image", "slice", "image_id") for end in ("start", "end")},
}  # fmt: skip


def _phi4(fields: dict[str, Any], tokenizer: Any) -> None:
    fields["vision_config"] |= {"image_size": 448, "crop_size": 448, "patch_size": 14, "num_hidden_layers": 3}  # the processor's own
    fields |= {"max_position_embeddings": 2048, "original_max_position_embeddings": 2048}
    token_ids(fields["vision_config"], tokenizer, image_token_id="<|image|>")
    token_ids(fields["audio_config"], tokenizer, audio_token_id="<|audio|>")
    fields["audio_config"] |= {"num_blocks": 2, "ext_pw_out_channel": 64, "depthwise_separable_out_channel": 64, "nemo_conv_channels": 64}
    fields |= {"sliding_window": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}}


def _phi4_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Phi4MultimodalFeatureExtractor, Phi4MultimodalImageProcessor, Phi4MultimodalProcessor

    images = Phi4MultimodalImageProcessor(dynamic_hd=1)
    return Phi4MultimodalProcessor(  # type: ignore[no-untyped-call]
        image_processor=images, audio_processor=Phi4MultimodalFeatureExtractor(), tokenizer=tokenizer
    )


def _kimi(fields: dict[str, Any], tokenizer: Any) -> None:
    token_ids(fields, tokenizer, image_token_id="<|media_pad|>", video_token_id="<|kimi_k25_video_placeholder|>")
    token_ids(fields, tokenizer, vision_start_token_id="<|media_begin|>", vision_end_token_id="<|media_end|>")
    fields["projection_hidden_size"] = 64
    fields["vision_config"] |= {"patch_size": 14, "pos_emb_height": 8, "pos_emb_width": 8}


def _kimi_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Kimi_K25ImageProcessor, Kimi_K25Processor, Kimi_K25VideoProcessor

    return Kimi_K25Processor(  # type: ignore[no-untyped-call]
        image_processor=Kimi_K25ImageProcessor(), tokenizer=tokenizer, video_processor=Kimi_K25VideoProcessor()
    )


_KIMI_TOKENS = {"image_token": "<|media_pad|>", "video_token": "<|kimi_k25_video_placeholder|>"}

MEDIA: Mapping[str, Kind] = {
    "gemma4": Kind(
        "<|image|>",
        _GEMMA4_TOKENS,
        _gemma4,
        _gemma4_processor,
        _TORCHVISION,
        more=("<|video|>",),
        video="<|video|>",
        audio="<|audio|>",
    ),
    "minicpmv4_6": Kind("<image_pad>", _MINICPM_TOKENS, _minicpm, _minicpm_processor, _TORCHVISION, video="<video_pad>"),
    "phi4_multimodal": Kind(
        "<|image|>", {"image_token": "<|image|>", "audio_token": "<|audio|>"}, _phi4, _phi4_processor, _TORCHVISION, audio="<|audio|>"
    ),
    "kimi_k25": Kind(
        "<|media_begin|><|media_pad|><|media_end|>",
        _KIMI_TOKENS,
        _kimi,
        _kimi_processor,
        _TORCHVISION,
        more=("<|media_begin|>", "<|media_end|>"),
        video="<|media_begin|><|kimi_k25_video_placeholder|><|media_end|>",
    ),
}
