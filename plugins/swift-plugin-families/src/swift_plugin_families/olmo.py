"""Ai2's OLMo."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import ATTENTION, LLAMA

FAMILIES = (
    ModelFamily(
        name="olmo",
        summary="OLMo 1",
        architectures=("OlmoForCausalLM",),
        model_types=("olmo",),
        targets=LLAMA,
        stop_tokens=("<|endoftext|>",),
        hub_ids=("allenai/OLMo-1B-hf", "allenai/OLMo-7B-0724-Instruct-hf"),
    ),
    ModelFamily(
        name="olmo2",
        summary="OLMo 2",
        architectures=("Olmo2ForCausalLM",),
        model_types=("olmo2",),
        targets=LLAMA,
        stop_tokens=("<|endoftext|>",),
        hub_ids=("allenai/OLMo-2-0425-1B-Instruct", "allenai/OLMo-2-1124-7B-Instruct"),
    ),
    ModelFamily(
        name="olmo3",
        summary="Olmo 3",
        architectures=("Olmo3ForCausalLM",),
        model_types=("olmo3",),
        targets=LLAMA,
        stop_tokens=("<|im_end|>",),
        tool_parser="olmo3",
        reasoning_parser="olmo3",
        hub_ids=("allenai/Olmo-3-7B-Instruct", "allenai/Olmo-3-7B-Think"),
    ),
    ModelFamily(
        name="olmoe",
        summary="OLMoE: the experts are fused parameters, so adapters train the attention",
        architectures=("OlmoeForCausalLM",),
        model_types=("olmoe",),
        targets=ATTENTION,
        skip_quantization=("lm_head", "mlp.gate"),
        stop_tokens=("<|endoftext|>",),
        hub_ids=("allenai/OLMoE-1B-7B-0125-Instruct",),
    ),
)
