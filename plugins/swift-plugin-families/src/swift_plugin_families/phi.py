"""Microsoft's Phi."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import ATTENTION

FAMILIES = (
    ModelFamily(
        name="phi",
        summary="Phi-1, Phi-1.5 and Phi-2, base models without a chat template",
        also=("phi2",),
        architectures=("PhiForCausalLM",),
        model_types=("phi",),
        targets=("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        hub_ids=("microsoft/phi-2",),
    ),
    ModelFamily(
        name="phi3",
        summary="Phi-3, Phi-3.5, Phi-4 and their mini sizes: fused attention and gate projections",
        also=("phi4",),
        architectures=("Phi3ForCausalLM",),
        model_types=("phi3",),
        targets=("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        stop_tokens=("<|end|>", "<|im_end|>"),  # Phi-4 uses ChatML; Phi-4-mini does not
        tool_parser="phi4_mini_json",
        hub_ids=("microsoft/Phi-3.5-mini-instruct", "microsoft/Phi-4-mini-instruct", "microsoft/phi-4"),
    ),
    ModelFamily(
        name="phimoe",
        summary="Phi-3.5-MoE: the experts are fused parameters, so adapters train the attention",
        architectures=("PhimoeForCausalLM", "PhiMoEForCausalLM"),
        model_types=("phimoe",),
        targets=ATTENTION,
        skip_quantization=("lm_head", "router"),
        stop_tokens=("<|end|>",),
        hub_ids=("microsoft/Phi-3.5-MoE-instruct",),
    ),
)
