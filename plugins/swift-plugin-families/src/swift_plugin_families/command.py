"""Cohere's Command and Aya."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, LLAVA

STOP = ("<|END_OF_TURN_TOKEN|>",)

FAMILIES = (
    ModelFamily(
        name="cohere",
        summary="Command R and R+, Aya 23",
        also=("command_r",),
        architectures=("CohereForCausalLM",),
        model_types=("cohere",),
        targets=LLAMA,
        stop_tokens=STOP,
        hub_ids=("CohereLabs/c4ai-command-r-v01", "CohereLabs/aya-23-8B"),
    ),
    ModelFamily(
        name="cohere2",
        summary="Command R7B and Command A",
        also=("command_a",),
        architectures=("Cohere2ForCausalLM",),
        model_types=("cohere2",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="cohere_command3",
        reasoning_parser="cohere_command3",
        hub_ids=("CohereLabs/c4ai-command-r7b-12-2024", "CohereLabs/c4ai-command-a-03-2025"),
    ),
    ModelFamily(
        name="cohere2_vision",
        summary="Command A Vision",
        architectures=("Cohere2VisionForConditionalGeneration",),
        model_types=("cohere2_vision",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=STOP,
        hub_ids=("CohereLabs/command-a-vision-07-2025",),
    ),
    ModelFamily(
        name="aya_vision",
        summary="Aya Vision",
        architectures=("AyaVisionForConditionalGeneration",),
        model_types=("aya_vision",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=STOP,
        hub_ids=("CohereLabs/aya-vision-8b",),
    ),
)
