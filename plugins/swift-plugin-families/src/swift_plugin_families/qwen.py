"""Alibaba's Qwen, text models."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA

STOP = ("<|im_end|>",)
# Projections of the gated delta network layers: two fused ones in Qwen3-Next, four in Qwen3.5.
NEXT = (*LLAMA, "in_proj_qkvz", "in_proj_ba", "out_proj")
DELTA = (*LLAMA, "in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")
ROUTERS = ("lm_head", "mlp.gate")
SHARED_ROUTERS = (*ROUTERS, "shared_expert_gate")

FAMILIES = (
    ModelFamily(
        name="qwen",
        summary="The first Qwen, with remote code",
        architectures=("QWenLMHeadModel",),
        model_types=("qwen",),
        targets=("c_attn", "c_proj", "w1", "w2"),
        blocks="transformer.h",
        embeddings="transformer.wte",
        stop_tokens=STOP,
        remote_code=True,
        hub_ids=("Qwen/Qwen-7B-Chat", "Qwen/Qwen-1_8B-Chat"),
    ),
    ModelFamily(
        name="qwen2",
        summary="Qwen1.5, Qwen2, Qwen2.5, QwQ and their R1 distillations",
        also=("qwen1_5", "qwen2_5"),
        architectures=("Qwen2ForCausalLM",),
        model_types=("qwen2",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="hermes",
        hub_ids=(
            "Qwen/Qwen2.5-0.5B-Instruct",
            "Qwen/Qwen2.5-7B-Instruct",
            "Qwen/Qwen2.5-Coder-7B-Instruct",
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        ),
    ),
    ModelFamily(
        name="qwen2_moe",
        summary="Qwen1.5 and Qwen2 mixture of experts, with a shared expert",
        architectures=("Qwen2MoeForCausalLM",),
        model_types=("qwen2_moe",),
        targets=LLAMA,
        skip_quantization=SHARED_ROUTERS,
        stop_tokens=STOP,
        tool_parser="hermes",
        hub_ids=("Qwen/Qwen1.5-MoE-A2.7B-Chat", "Qwen/Qwen2-57B-A14B-Instruct"),
    ),
    ModelFamily(
        name="qwen3",
        summary="Qwen3, dense",
        architectures=("Qwen3ForCausalLM",),
        model_types=("qwen3",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="hermes",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "Qwen/Qwen3-32B"),
    ),
    ModelFamily(
        name="qwen3_moe",
        summary="Qwen3 and Qwen3-Coder mixture of experts",
        architectures=("Qwen3MoeForCausalLM",),
        model_types=("qwen3_moe",),
        targets=LLAMA,  # feed-forward layers exist only in dense layers (mlp_only_layers): experts are fused parameters
        skip_quantization=ROUTERS,
        stop_tokens=STOP,
        tool_parser="hermes",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-235B-A22B"),
    ),
    ModelFamily(
        name="qwen3_next",
        summary="Qwen3-Next: gated delta networks, attention every fourth layer, mixture of experts",
        architectures=("Qwen3NextForCausalLM",),
        model_types=("qwen3_next",),
        targets=NEXT,
        skip_quantization=SHARED_ROUTERS,
        stop_tokens=STOP,
        tool_parser="hermes",
        reasoning_parser="qwen3",
        hub_ids=("Qwen/Qwen3-Next-80B-A3B-Instruct",),
    ),
    ModelFamily(
        name="qwen3_5_text",
        summary="Qwen3.5 without its vision tower",
        architectures=("Qwen3_5ForCausalLM",),
        model_types=("qwen3_5_text",),
        targets=DELTA,
        stop_tokens=STOP,
        tool_parser="qwen3_coder",
        reasoning_parser="qwen3",
    ),
    ModelFamily(
        name="qwen3_5_moe_text",
        summary="Qwen3.5 mixture of experts without its vision tower",
        architectures=("Qwen3_5MoeForCausalLM",),
        model_types=("qwen3_5_moe_text",),
        targets=DELTA,
        skip_quantization=SHARED_ROUTERS,
        stop_tokens=STOP,
        tool_parser="qwen3_coder",
        reasoning_parser="qwen3",
    ),
)
