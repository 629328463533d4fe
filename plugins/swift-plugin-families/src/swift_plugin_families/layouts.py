"""Names that many architectures share: target modules, and where the parts of a multimodal model are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED = ("gate_proj", "up_proj", "down_proj")
LLAMA = (*ATTENTION, *GATED)
"""The layers of a Llama block, which most decoders since have kept."""

LATENT = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", *GATED)
"""DeepSeek's latent attention. In models whose `q_lora_rank` is null a `q_proj` stands in for the low-rank halves of the query."""

NEOX = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
"""The fused attention of GPT-NeoX, Bloom and the first Falcon."""

Layout = Mapping[str, Any]


def multimodal(*, tower: str, aligner: str, text: str = "model.language_model", skip: tuple[str, ...] = ()) -> Layout:
    """Module paths of a vision-language model whose head is `lm_head` beside the body.

    The vision tower and the aligner keep full precision when the model is quantized: they are small, and what they lose can't be
    made up for by the language model. An aligner inside the tower belongs to the aligner: the longest prefix wins.
    """
    inside = bool(aligner) and aligner.startswith(f"{tower}.")
    return {
        "blocks": f"{text}.layers",
        "embeddings": f"{text}.embed_tokens",
        "language_model": text,
        "vision_tower": tower,
        "aligner": aligner,
        "skip_quantization": ("lm_head", *skip, tower, *((aligner,) if aligner and not inside else ())),
    }


LLAVA = multimodal(tower="model.vision_tower", aligner="model.multi_modal_projector")
QWEN_VL = multimodal(tower="model.visual", aligner="model.visual.merger")
IDEFICS = multimodal(tower="model.vision_model", aligner="model.connector", text="model.text_model")
