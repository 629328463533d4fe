"""Configurations for the conformance kit, for families whose default one lacks a layer type or can't be built.

`outside` lists parameters that belong to no part of a multimodal model.
"""

from __future__ import annotations

from swift_testing.kit import Example

_DENSE_FIRST = {"first_k_dense_replace": 1}
_HYBRID = {"layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"]}
_CONVOLUTION = {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}
_MIXTURE = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 64}

EXAMPLES = {
    "bamba": Example(configurations=({"attn_layer_indices": [1]},)),
    "deepseek_v2": Example(configurations=(_DENSE_FIRST, {"q_lora_rank": None})),
    "deepseek_v3": Example(configurations=(_DENSE_FIRST, {"q_lora_rank": None})),
    "deepseek_v32": Example(configurations=(_DENSE_FIRST,)),
    "dots1": Example(configurations=({**_DENSE_FIRST, "n_routed_experts": 4, "n_shared_experts": 1},)),
    "gemma4": Example(configurations=(_MIXTURE,), outside=("model.audio_tower.", "model.embed_audio.")),
    "gemma4_text": Example(configurations=(_MIXTURE,)),
    "glm46v": Example(configurations=({"model_type": "glm4v_text"},)),
    "glm4_moe": Example(configurations=(_DENSE_FIRST,)),
    "glm4v_moe": Example(configurations=(_DENSE_FIRST,)),
    "gpt_neo": Example(configurations=({"num_hidden_layers": 4, "attention_types": [[["global", "local"], 2]]},)),
    "granitemoehybrid": Example(configurations=({**_HYBRID, "num_local_experts": 4, "shared_intermediate_size": 64},)),
    "granitemoeshared": Example(configurations=({"shared_intermediate_size": 64},)),
    "hunyuan_dense": Example(configurations=({"head_dim": 64},)),
    "hunyuan_moe": Example(configurations=({"head_dim": 64},)),
    "jamba": Example(configurations=({"num_hidden_layers": 8},)),
    "lfm2": Example(configurations=(_CONVOLUTION,)),
    "lfm2_moe": Example(configurations=(_CONVOLUTION,)),
    "lfm2_vl": Example(configurations=({"model_type": "lfm2", **_CONVOLUTION},)),
    "llama4": Example(configurations=({"interleave_moe_layer_step": 2},)),
    "llama4_text": Example(configurations=({"interleave_moe_layer_step": 2},)),
    "llava_next": Example(outside=("model.image_newline",)),  # a separator of image rows
    "llava_onevision": Example(outside=("model.image_newline",)),
    "ministral": Example(configurations=({"head_dim": 64},)),
    "nemotron": Example(configurations=({"head_dim": 64, "num_key_value_heads": 8},)),
    "nemotron_h": Example(configurations=({"num_hidden_layers": None},)),
    "paligemma": Example(configurations=({"model_type": "gemma"},)),
    "qwen2_5_omni_thinker": Example(outside=("model.audio_tower.",)),
    "qwen2_moe": Example(configurations=({"mlp_only_layers": [0]},)),
    "qwen3_moe": Example(configurations=({"mlp_only_layers": [0]},)),
    "qwen3_vl_moe": Example(configurations=({"mlp_only_layers": [0]},)),
}
