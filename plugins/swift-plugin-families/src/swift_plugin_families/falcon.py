"""TII's Falcon. Falcon3 is a Llama."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, NEOX

FAMILIES = (
    ModelFamily(
        name="falcon",
        summary="Falcon 7B to 180B, Falcon2",
        architectures=("FalconForCausalLM", "RWForCausalLM"),
        model_types=("falcon",),
        targets=NEOX,
        blocks="transformer.h",
        embeddings="transformer.word_embeddings",
        hub_ids=("tiiuae/falcon-7b-instruct", "tiiuae/falcon-11B"),
    ),
    ModelFamily(
        name="falcon_h1",
        summary="Falcon-H1: attention and Mamba 2 in parallel in every block",
        architectures=("FalconH1ForCausalLM",),
        model_types=("falcon_h1",),
        targets=(*LLAMA, "in_proj"),
        skip_quantization=("lm_head", "mamba.out_proj"),  # the fused Mamba kernel reads out_proj's weight directly and bypasses adapters
        stop_tokens=("<|im_end|>",),
        hub_ids=("tiiuae/Falcon-H1-0.5B-Instruct", "tiiuae/Falcon-H1-7B-Instruct"),
    ),
)
