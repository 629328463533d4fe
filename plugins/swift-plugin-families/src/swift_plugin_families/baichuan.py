"""Baichuan, with remote code. Baichuan 1 spells its class `BaiChuan`."""

from __future__ import annotations

from swift_core.contract import ModelFamily

FAMILIES = (
    ModelFamily(
        name="baichuan",
        summary="Baichuan and Baichuan 2: query, key and value are one fused layer, W_pack",
        also=("baichuan2",),
        architectures=("BaichuanForCausalLM", "BaiChuanForCausalLM"),
        model_types=("baichuan",),
        targets=("W_pack", "o_proj", "gate_proj", "up_proj", "down_proj"),
        stop_tokens=("</s>",),
        remote_code=True,
        hub_ids=("baichuan-inc/Baichuan2-7B-Chat", "baichuan-inc/Baichuan2-13B-Chat"),
    ),
)
