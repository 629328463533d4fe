"""Module names that many architectures share: target layers, and the module paths of multimodal models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED = ("gate_proj", "up_proj", "down_proj")
LLAMA = (*ATTENTION, *GATED)
"""The linear layers of a Llama block, which most later decoders use too."""

LATENT = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", *GATED)
"""DeepSeek's multi-head latent attention. If `q_lora_rank` is null, a `q_proj` replaces `q_a_proj` and `q_b_proj`."""

NEOX = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
"""The linear layers of GPT-NeoX, BLOOM and the first Falcon, with fused query, key and value."""

Layout = Mapping[str, Any]


def multimodal(*, tower: str, aligner: str, text: str = "model.language_model", skip: tuple[str, ...] = ()) -> Layout:
    """Return the module paths of a vision-language model, as keyword arguments of ModelFamily; the head is `lm_head`.

    The vision tower and the aligner stay in full precision when the model is quantized: they are small, and the language model can't
    compensate for their loss. The parameters of an aligner inside the tower count as the aligner's: the longest prefix wins.

    Args:
        tower: path of the vision tower.
        aligner: path of the aligner (projector); empty if there is none.
        text: path of the language model.
        skip: further modules to exclude from quantization.
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
