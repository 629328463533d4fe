"""Puts the language model into the vision tower."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ModelFamily


@hookimpl
def swift_families():
    return [
        ModelFamily(
            name="bad-llava",
            summary="LLaVA, misread",
            architectures=("LlavaForConditionalGeneration",),
            model_types=("llava",),
            targets=("q_proj",),
            blocks="model.language_model.layers",
            embeddings="model.language_model.embed_tokens",
            language_model="model.language_model",
            vision_tower="model",
            aligner="model.multi_modal_projector",
            modalities=("text", "image"),
        )
    ]
