"""Google's Gemma and PaliGemma."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, LLAVA, multimodal

STOP = ("<end_of_turn>",)
STOP4 = ("<turn|>", "<|tool_response>")  # the second ends a turn that calls a tool, whose result continues it
PER_LAYER = (*LLAMA, "per_layer_input_gate", "per_layer_projection")  # Gemma 4 adds a per-layer embedding to every block
ROUTER = "router.proj"

FAMILIES = (
    ModelFamily(
        name="gemma",
        summary="Gemma 1",
        architectures=("GemmaForCausalLM",),
        model_types=("gemma",),
        targets=LLAMA,
        stop_tokens=STOP,
        hub_ids=("google/gemma-2b-it", "google/gemma-7b-it"),
    ),
    ModelFamily(
        name="gemma2",
        summary="Gemma 2",
        architectures=("Gemma2ForCausalLM",),
        model_types=("gemma2",),
        targets=LLAMA,
        stop_tokens=STOP,
        hub_ids=("google/gemma-2-2b-it", "google/gemma-2-9b-it"),
    ),
    ModelFamily(
        name="gemma3_text",
        summary="Gemma 3, the text-only sizes",
        architectures=("Gemma3ForCausalLM",),
        model_types=("gemma3_text",),
        targets=LLAMA,
        stop_tokens=STOP,
        hub_ids=("google/gemma-3-270m-it", "google/gemma-3-1b-it"),
    ),
    ModelFamily(
        name="gemma3",
        summary="Gemma 3 with a vision tower",
        architectures=("Gemma3ForConditionalGeneration",),
        model_types=("gemma3",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        stop_tokens=STOP,
        hub_ids=("google/gemma-3-4b-it", "google/gemma-3-27b-it"),
    ),
    ModelFamily(
        name="gemma4_text",
        summary="Gemma 4 without its vision and audio towers",
        architectures=("Gemma4ForCausalLM",),
        model_types=("gemma4_text",),
        targets=PER_LAYER,
        skip_quantization=("lm_head", ROUTER),
        stop_tokens=STOP4,
        tool_parser="gemma4",
        reasoning_parser="gemma4",
    ),
    ModelFamily(
        name="gemma4",
        summary="Gemma 4: text, images, video, and audio in the small sizes",
        architectures=("Gemma4ForConditionalGeneration",),
        model_types=("gemma4",),
        targets=PER_LAYER,
        **multimodal(tower="model.vision_tower", aligner="model.embed_vision", skip=(ROUTER, "model.audio_tower", "model.embed_audio")),
        modalities=("text", "image", "video", "audio"),
        stop_tokens=STOP4,
        tool_parser="gemma4",
        reasoning_parser="gemma4",
        hub_ids=("google/gemma-4-E2B-it", "google/gemma-4-31B-it"),
    ),
    ModelFamily(
        name="paligemma",
        summary="PaliGemma 1 and 2: Gemma with a SigLIP vision tower",
        architectures=("PaliGemmaForConditionalGeneration",),
        model_types=("paligemma",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image"),
        hub_ids=("google/paligemma-3b-mix-224", "google/paligemma2-3b-mix-224"),
    ),
)
