"""State-space models, and their hybrids with attention.

Their fused kernels read the weights of some layers directly, which bypasses adapters and breaks on quantized weights: such layers are not
targets, and are listed in `skip_quantization`.
"""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, Layout

BACKBONE: Layout = {"blocks": "backbone.layers", "embeddings": "backbone.embeddings"}
FUSED = ("lm_head", "x_proj", "dt_proj", "out_proj")

FAMILIES = (
    ModelFamily(
        name="mamba",
        summary="Mamba",
        architectures=("MambaForCausalLM",),
        model_types=("mamba",),
        targets=("in_proj",),
        skip_quantization=FUSED,
        **BACKBONE,
        hub_ids=("state-spaces/mamba-130m-hf", "state-spaces/mamba-2.8b-hf"),
    ),
    ModelFamily(
        name="mamba2",
        summary="Mamba 2 and Codestral Mamba",
        architectures=("Mamba2ForCausalLM",),
        model_types=("mamba2",),
        targets=("in_proj",),
        skip_quantization=("lm_head", "out_proj"),
        **BACKBONE,
    ),
    ModelFamily(
        name="falcon_mamba",
        summary="Falcon Mamba",
        architectures=("FalconMambaForCausalLM",),
        model_types=("falcon_mamba",),
        targets=("in_proj",),
        skip_quantization=FUSED,
        **BACKBONE,
        hub_ids=("tiiuae/falcon-mamba-7b-instruct",),
    ),
    ModelFamily(
        name="bamba",
        summary="Bamba: Mamba 2 with attention in a few layers",
        architectures=("BambaForCausalLM",),
        model_types=("bamba",),
        targets=(*LLAMA, "in_proj"),
        skip_quantization=("lm_head", "mamba.out_proj"),
        hub_ids=("ibm-ai-platform/Bamba-9B-v2",),
    ),
    ModelFamily(
        name="jamba",
        summary="Jamba: Mamba, attention every eighth layer, mixture of experts",
        architectures=("JambaForCausalLM",),
        model_types=("jamba",),
        targets=(*LLAMA, "in_proj", "x_proj", "out_proj"),
        skip_quantization=("lm_head", "feed_forward.router", "dt_proj"),
        stop_tokens=("<|eom|>",),
        tool_parser="jamba",
        hub_ids=("ai21labs/AI21-Jamba-Mini-1.5",),
    ),
    ModelFamily(
        name="nemotron_h",
        summary="Nemotron-H and Nemotron Nano 2 and 3: alternating Mamba 2, attention and feed-forward layers",
        architectures=("NemotronHForCausalLM",),
        model_types=("nemotron_h",),
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "in_proj"),
        skip_quantization=("lm_head", "mixer.gate", "mixer.out_proj"),
        embeddings="model.embeddings",
        stop_tokens=("<|im_end|>",),
        tool_parser="qwen3_coder",
        reasoning_parser="nemotron_v3",
        hub_ids=("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",),
    ),
)
