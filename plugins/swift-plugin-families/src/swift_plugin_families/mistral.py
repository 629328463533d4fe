"""Mistral AI's models."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import ATTENTION, LLAMA, LLAVA

STOP = ("</s>",)

FAMILIES = (
    ModelFamily(
        name="mistral",
        summary="Mistral 7B, Nemo, Small, Large, Codestral, Magistral without a vision tower; Zephyr",
        also=("zephyr",),
        architectures=("MistralForCausalLM",),
        model_types=("mistral",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="mistral",
        hub_ids=("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-Nemo-Instruct-2407", "HuggingFaceH4/zephyr-7b-beta"),
    ),
    ModelFamily(
        name="mixtral",
        summary="Mixtral: the experts are fused parameters, so adapters train the attention",
        architectures=("MixtralForCausalLM",),
        model_types=("mixtral",),
        targets=ATTENTION,
        skip_quantization=("lm_head", "mlp.gate"),
        stop_tokens=STOP,
        tool_parser="mistral",
        hub_ids=("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x22B-Instruct-v0.1"),
    ),
    ModelFamily(
        name="ministral",
        summary="Ministral 8B of 2024: sliding-window attention in some layers",
        architectures=("MinistralForCausalLM",),
        model_types=("ministral",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="mistral",
    ),
    ModelFamily(
        name="ministral3",
        summary="Ministral 3 without its vision tower",
        architectures=("Ministral3ForCausalLM",),
        model_types=("ministral3",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="mistral",
    ),
    ModelFamily(
        name="mistral3",
        summary="Mistral Small 3.1 and later, Ministral 3: with a Pixtral vision tower",
        architectures=("Mistral3ForConditionalGeneration",),
        model_types=("mistral3",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=STOP,
        tool_parser="mistral",
        hub_ids=("mistralai/Mistral-Small-3.2-24B-Instruct-2506", "mistralai/Ministral-3-8B-Instruct-2512"),
    ),
)
