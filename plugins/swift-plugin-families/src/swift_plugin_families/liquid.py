"""Liquid AI's LFM2: short convolutions, with attention in some layers."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAVA

TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3")
STOP = ("<|im_end|>",)

FAMILIES = (
    ModelFamily(
        name="lfm2",
        summary="LFM2",
        architectures=("Lfm2ForCausalLM",),
        model_types=("lfm2",),
        targets=TARGETS,
        stop_tokens=STOP,
        tool_parser="lfm2",
        hub_ids=("LiquidAI/LFM2-350M", "LiquidAI/LFM2-1.2B"),
    ),
    ModelFamily(
        name="lfm2_moe",
        summary="LFM2 mixture of experts",
        architectures=("Lfm2MoeForCausalLM",),
        model_types=("lfm2_moe",),
        targets=TARGETS,
        skip_quantization=("lm_head", "feed_forward.gate"),
        stop_tokens=STOP,
        tool_parser="lfm2",
        hub_ids=("LiquidAI/LFM2-8B-A1B",),
    ),
    ModelFamily(
        name="lfm2_vl",
        summary="LFM2-VL",
        architectures=("Lfm2VlForConditionalGeneration",),
        model_types=("lfm2_vl",),
        targets=TARGETS,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=STOP,
        hub_ids=("LiquidAI/LFM2-VL-450M",),
    ),
)
