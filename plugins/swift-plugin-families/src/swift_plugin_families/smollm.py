"""Hugging Face's SmolLM3, SmolVLM and Idefics3. SmolLM and SmolLM2 are Llamas."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import IDEFICS, LLAMA

FAMILIES = (
    ModelFamily(
        name="smollm3",
        summary="SmolLM3",
        architectures=("SmolLM3ForCausalLM",),
        model_types=("smollm3",),
        targets=LLAMA,
        stop_tokens=("<|im_end|>",),
        tool_parser="hermes",
        hub_ids=("HuggingFaceTB/SmolLM3-3B",),
    ),
    ModelFamily(
        name="smolvlm",
        summary="SmolVLM2",
        also=("smolvlm2",),
        architectures=("SmolVLMForConditionalGeneration",),
        model_types=("smolvlm",),
        targets=LLAMA,
        **IDEFICS,
        modalities=("text", "image", "video"),
        stop_tokens=("<end_of_utterance>",),
        hub_ids=("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "HuggingFaceTB/SmolVLM2-2.2B-Instruct"),
    ),
    ModelFamily(
        name="idefics3",
        summary="Idefics3 and the first SmolVLM",
        architectures=("Idefics3ForConditionalGeneration",),
        model_types=("idefics3",),
        targets=LLAMA,
        **IDEFICS,
        modalities=("text", "image"),
        stop_tokens=("<end_of_utterance>",),
        hub_ids=("HuggingFaceTB/SmolVLM-256M-Instruct", "HuggingFaceM4/Idefics3-8B-Llama3"),
    ),
    ModelFamily(
        name="idefics2",
        summary="Idefics2: Mistral with a perceiver resampler",
        architectures=("Idefics2ForConditionalGeneration",),
        model_types=("idefics2",),
        targets=LLAMA,
        **IDEFICS,
        modalities=("text", "image"),
        stop_tokens=("<end_of_utterance>",),
        hub_ids=("HuggingFaceM4/idefics2-8b",),
    ),
)
