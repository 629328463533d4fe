"""Alibaba's Qwen with a vision tower, from Qwen2-VL to Qwen3.5."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, QWEN_VL, multimodal
from swift_plugin_families.qwen import DELTA, STOP

SEES = ("text", "image", "video")

FAMILIES = (
    ModelFamily(
        name="qwen2_vl",
        summary="Qwen2-VL and QVQ",
        architectures=("Qwen2VLForConditionalGeneration",),
        model_types=("qwen2_vl",),
        targets=LLAMA,
        **QWEN_VL,
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="hermes",
        hub_ids=("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2-VL-7B-Instruct"),
    ),
    ModelFamily(
        name="qwen2_5_vl",
        summary="Qwen2.5-VL",
        architectures=("Qwen2_5_VLForConditionalGeneration",),
        model_types=("qwen2_5_vl",),
        targets=LLAMA,
        **QWEN_VL,
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="hermes",
        hub_ids=("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"),
    ),
    ModelFamily(
        name="qwen3_vl",
        summary="Qwen3-VL, dense",
        architectures=("Qwen3VLForConditionalGeneration",),
        model_types=("qwen3_vl",),
        targets=LLAMA,
        **QWEN_VL,
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="hermes",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3-VL-2B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"),
    ),
    ModelFamily(
        name="qwen3_vl_moe",
        summary="Qwen3-VL mixture of experts",
        architectures=("Qwen3VLMoeForConditionalGeneration",),
        model_types=("qwen3_vl_moe",),
        targets=LLAMA,
        **multimodal(tower="model.visual", aligner="model.visual.merger", skip=("mlp.gate",)),
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="hermes",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3-VL-30B-A3B-Instruct",),
    ),
    ModelFamily(
        name="qwen3_5",
        summary="Qwen3.5, dense: gated delta networks and a vision tower",
        architectures=("Qwen3_5ForConditionalGeneration",),
        model_types=("qwen3_5",),
        targets=DELTA,
        **QWEN_VL,
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="qwen3_coder",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3.5-27B",),
    ),
    ModelFamily(
        name="qwen3_5_moe",
        summary="Qwen3.5 mixture of experts with a vision tower",
        architectures=("Qwen3_5MoeForConditionalGeneration",),
        model_types=("qwen3_5_moe",),
        targets=DELTA,
        **multimodal(tower="model.visual", aligner="model.visual.merger", skip=("mlp.gate", "shared_expert_gate")),
        modalities=SEES,
        stop_tokens=STOP,
        tool_parser="qwen3_coder",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3.5-35B-A3B", "Qwen/Qwen3.5-397B-A17B"),
    ),
)
