"""Tiny random checkpoints of models that hear, each with its real processor, as `vision_models` has them of models that see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_testing.small_configs import small
from swift_testing.vision_models import SECTIONS, Kind, token_ids, write_media_model

_MELS = 16
_QWEN2 = {
    "audio_token": "<|AUDIO|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
}  # fmt: skip


def write_audio_model(folder: Path, model_type: str, *, seed: int = 0) -> Path:
    """Write a checkpoint of a model type of `AUDIO` with its processor; the same seed gives the same weights."""
    return write_media_model(folder, model_type, AUDIO[model_type], seed=seed)


def _extractor(seconds: int) -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=_MELS, chunk_length=seconds)  # type: ignore[no-untyped-call]


def _qwen2_audio(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import Qwen2AudioEncoderConfig, Qwen2Config

    token_ids(fields, tokenizer, audio_token_id="<|AUDIO|>", audio_token_index="<|AUDIO|>")
    encoder = {**small(Qwen2AudioEncoderConfig), "num_mel_bins": _MELS, "max_source_positions": 200, "encoder_layers": 2}
    fields["audio_config"] = {**encoder, "model_type": "qwen2_audio_encoder"}
    fields["text_config"] = {**small(Qwen2Config), "model_type": "qwen2"}


def _qwen2_audio_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Qwen2AudioProcessor

    return Qwen2AudioProcessor(feature_extractor=_extractor(4), tokenizer=tokenizer)  # type: ignore[no-untyped-call]


def _omni(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as omni

    ids = {"image": "<|IMAGE|>", "video": "<|VIDEO|>", "audio": "<|AUDIO|>"}
    token_ids(fields, tokenizer, **{f"{kind}_token_{name}": token for kind, token in ids.items() for name in ("id", "index")})
    token_ids(fields, tokenizer, audio_start_token_id="<|audio_bos|>", audio_end_token_id="<|audio_eos|>")
    token_ids(fields, tokenizer, vision_start_token_id="<|vision_bos|>", vision_end_token_id="<|vision_eos|>")
    text = {**small(omni.Qwen2_5OmniTextConfig), "rope_parameters": dict(SECTIONS)}
    sizes = {"output_dim": text["hidden_size"], "num_mel_bins": _MELS, "max_source_positions": 200, "n_window": 20, "encoder_layers": 2}
    fields["audio_config"] = {**small(omni.Qwen2_5OmniAudioEncoderConfig), **sizes}
    fields["vision_config"] = {**small(omni.Qwen2_5OmniVisionEncoderConfig), "out_hidden_size": text["hidden_size"]}
    fields["text_config"] = text


def _omni3(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers.models.qwen3_omni_moe import configuration_qwen3_omni_moe as omni

    token_ids(fields, tokenizer, **{f"{kind}_token_id": f"<|{kind}_pad|>" for kind in ("image", "video", "audio")})
    token_ids(fields, tokenizer, audio_start_token_id="<|audio_start|>", audio_end_token_id="<|audio_end|>")
    token_ids(fields, tokenizer, vision_start_token_id="<|vision_start|>", vision_end_token_id="<|vision_end|>")
    text = {**small(omni.Qwen3OmniMoeTextConfig), "rope_parameters": dict(SECTIONS)}
    width = text["hidden_size"]
    sizes = {
        "output_dim": width,
        "num_mel_bins": _MELS,
        "max_source_positions": 200,
        "encoder_layers": 2,
    }
    fields["audio_config"] = {**small(omni.Qwen3OmniMoeAudioEncoderConfig), **sizes, "downsample_hidden_size": 32}
    vision = {**small(omni.Qwen3OmniMoeVisionEncoderConfig), "out_hidden_size": width, "deepstack_visual_indexes": [0, 1]}
    fields |= {"vision_config": vision, "text_config": text}


def _omni3_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Qwen2VLVideoProcessor, Qwen3OmniMoeProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    size = {"shortest_edge": 28 * 28, "longest_edge": 96 * 96}
    images = Qwen2VLImageProcessorPil(size=size, patch_size=16)
    videos = Qwen2VLVideoProcessor(size=size, patch_size=16)
    return Qwen3OmniMoeProcessor(  # type: ignore[no-untyped-call]
        image_processor=images, video_processor=videos, feature_extractor=_extractor(4), tokenizer=tokenizer
    )


def _omni_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Qwen2_5OmniProcessor, Qwen2VLVideoProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96})
    return Qwen2_5OmniProcessor(  # type: ignore[no-untyped-call]
        image_processor=images, video_processor=Qwen2VLVideoProcessor(), feature_extractor=_extractor(4), tokenizer=tokenizer
    )


_OMNI = {
    **{f"{kind}_token": f"<|{kind.upper()}|>" for kind in ("image", "video", "audio")},
    **{f"{kind}_{end}_token": f"<|{kind}_{end}|>" for kind in ("vision", "audio") for end in ("bos", "eos")},
}
_OMNI3 = {
    **{f"{kind}_token": f"<|{kind}_pad|>" for kind in ("image", "video", "audio")},
    **{f"{kind}_{end}_token": f"<|{kind}_{word}|>" for kind in ("vision", "audio") for end, word in (("bos", "start"), ("eos", "end"))},
}
AUDIO: Mapping[str, Kind] = {
    "qwen2_audio": Kind("", _QWEN2, _qwen2_audio, _qwen2_audio_processor, audio="<|audio_bos|><|AUDIO|><|audio_eos|>"),
    "qwen2_5_omni_thinker": Kind(
        "<|vision_bos|><|IMAGE|><|vision_eos|>",
        _OMNI,
        _omni,
        _omni_processor,
        ("torchvision",),
        video="<|vision_bos|><|VIDEO|><|vision_eos|>",
        audio="<|audio_bos|><|AUDIO|><|audio_eos|>",
    ),
    "qwen3_omni_moe_thinker": Kind(
        "<|vision_start|><|image_pad|><|vision_end|>",
        _OMNI3,
        _omni3,
        _omni3_processor,
        ("torchvision",),
        video="<|vision_start|><|video_pad|><|vision_end|>",
        audio="<|audio_start|><|audio_pad|><|audio_end|>",
    ),
}
