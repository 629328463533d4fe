"""OpenBMB's MiniCPM."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LATENT, LLAMA

FAMILIES = (
    ModelFamily(
        name="minicpm",
        summary="MiniCPM 1, 2 and 4, with remote code",
        architectures=("MiniCPMForCausalLM",),
        model_types=("minicpm",),
        targets=LLAMA,
        stop_tokens=("<|im_end|>",),
        remote_code=True,
        hub_ids=("openbmb/MiniCPM-2B-sft-bf16", "openbmb/MiniCPM4-8B"),
    ),
    ModelFamily(
        name="minicpm3",
        summary="MiniCPM3, with latent attention",
        architectures=("MiniCPM3ForCausalLM",),
        model_types=("minicpm3",),
        targets=LATENT,
        stop_tokens=("<|im_end|>",),
        hub_ids=("openbmb/MiniCPM3-4B",),
    ),
)
