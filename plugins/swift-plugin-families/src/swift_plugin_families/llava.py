"""LLaVA models: a vision tower and a projector in front of a language model. Pixtral in transformers' layout is one of them."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, LLAVA

FAMILIES = (
    ModelFamily(
        name="llava",
        summary="LLaVA 1.5, Pixtral 12B",
        also=("pixtral",),
        architectures=("LlavaForConditionalGeneration",),
        model_types=("llava",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=("</s>",),
        hub_ids=("llava-hf/llava-1.5-7b-hf", "mistral-community/pixtral-12b"),
    ),
    ModelFamily(
        name="llava_next",
        summary="LLaVA 1.6 (NeXT)",
        architectures=("LlavaNextForConditionalGeneration",),
        model_types=("llava_next",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=("</s>",),
        hub_ids=("llava-hf/llava-v1.6-mistral-7b-hf",),
    ),
    ModelFamily(
        name="llava_onevision",
        summary="LLaVA-OneVision, on Qwen2",
        architectures=("LlavaOnevisionForConditionalGeneration",),
        model_types=("llava_onevision",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image", "video"),
        stop_tokens=("<|im_end|>",),
        hub_ids=("llava-hf/llava-onevision-qwen2-0.5b-ov-hf",),
    ),
)
