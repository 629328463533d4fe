"""Configurations of small models of every architecture in transformers, by rules over the fields of their classes."""

from __future__ import annotations

import re
from typing import Any

VOCABULARY = 512

_SIZES: tuple[
    tuple[str, int], ...
] = (  # (pattern of a field's name, value): the first match applies; only for fields whose default is a positive integer
    (r"vocab_size$|^vocab$|^n_vocab$", VOCABULARY),
    (r"experts_per_tok|moe_topk$|^moe_top_k|^top_k_experts$|^num_selected_experts$|^moe_k$|^router_top_k$|^expert_top_k$", 2),
    (r"^(n_group|topk_group|num_expert_group|n_expert_groups|num_groups_experts)$", 1),
    (r"shared_experts?$", 1),
    (r"(num_|n_|routed_|local_|moe_num_)(\w*_)?experts?$", 4),
    (r"(moe|expert)\w*(intermediate|ffn|hidden|inner)\w*(size|dim)?$", 32),
    (
        r"intermediate_size|ffn_dim|ffn_hidden_size|^n_inner$|^d_ff$|^mlp_dim$|ffn_embed_dim|feed_forward_(size|dim)|^d_inner$|mlp_hidden|^ffn_size$|ff_dim",
        128,
    ),
    (r"(key_value|kv)_heads?$|query_groups|num_kv|multi_query_group_num", 2),
    (r"qk_nope_head_dim|v_head_dim|qk_head_dim", 16),
    (r"qk_rope_head_dim|rotary_dim$", 8),
    (r"head_dim$|^d_kv$|head_size$|kv_channels|^mamba_d_head$|attention_head_size", 16),
    (r"(?<!mamba_)(?<!mamba_n)(attention_)?heads$|^n_heads?$|^num_attn_heads$|^n_head$|num_heads$", 4),
    (r"(^|_)(num_)?(layers?|blocks?)$|^depth$|^n_layer$|^layers?_num$|layer_num$", 2),
    (
        r"hidden_size$|^n_embd$|^d_model$|embed_dim$|^dim$|hidden_dim$|^width$|embedding_size$|^d_embed$|^projection_dim$|^model_dim$|^hidden$",
        64,
    ),
    (
        r"position_embeddings$|^n_positions$|max_(seq|sequence|source|target)\w*|seq_len(gth)?$|^n_ctx$|position_embedding_size|^context_length$",
        512,
    ),
    (r"lora_rank$|^rank$|_rank$", 16),
    (r"state_size$|d_state$", 16),
    (r"chunk_size$", 16),
    (r"^sliding_window$|_window$|^window_size$", 64),
)
_KEEP = re.compile(
    r"dense_replace|nextn|mtp|max_window|decoder_sparse|conv_|kernel|norm_|skip|first_layer|patch|merge|interval|every|stride|freq|feature|select|num_image|num_mel|epsilon|pad_|_token|max_split|depth_|chunk_size_feed"
)

_HEAD = {"head_dim": 16}
_BOTH = {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2}
_SECTIONS = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}}
OVERRIDES: dict[str, dict[str, Any]] = {  # by model type, also of sub-configurations: values that the rules can't derive
    "qwen2_vl_text": _SECTIONS,
    "qwen2_5_vl_text": _SECTIONS,
    "cosmos3_edge_text": _SECTIONS,
    "ernie4_5_vl_moe_text": {"rope_parameters": {**_SECTIONS["rope_parameters"], "mrope_section": [3, 3, 2]}},
    "molmo2_adapter": {"vision_feature_layer": [1, 0]},
    "step3p5": {"sliding_window": 64},
    "glm46v_text": _SECTIONS,
    "glm4v_text": _SECTIONS,
    "glm4v_moe_text": {"rope_parameters": {**_SECTIONS["rope_parameters"], "mrope_section": [1, 1, 2]}},
    "glm_ocr_text": _SECTIONS,
    "glmga_text": _SECTIONS,
    "paddleocr_vl_text": _SECTIONS,
    "qwen2_5_omni_text": _SECTIONS,
    "bamba": {"attn_layer_indices": [1]},
    "bailing_hybrid": {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2},
    "granitemoehybrid": {
        "layer_types": ["linear_attention", "full_attention"],
        "num_hidden_layers": 2,
        "num_local_experts": 4,
        "shared_intermediate_size": 64,
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 4},
    "granitemoeshared": {"shared_intermediate_size": 64},
    "blt": {"encoder_hash_byte_group_vocab": 500},
    "blt_local_encoder": {"vocab_size": VOCABULARY, "hidden_size_global": 64},
    "blt_local_decoder": {"hidden_size_global": 64},
    "dots3_note": {"text_config": {"model_type": "dots3_note_text", "per_layer_config": {}}},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "num_hidden_layers": 2,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "deepseek_v3": {"first_k_dense_replace": 1},
    "deepseek_v2": {"first_k_dense_replace": 1, "num_experts_per_tok": 2, "n_routed_experts": 4, "n_group": 1, "topk_group": 1},
    "longcat_flash": {"head_dim": 8, "qk_rope_head_dim": 8},
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 1},
    "dots1": {"num_experts_per_tok": 2, "first_k_dense_replace": 1, "n_routed_experts": 4, "n_shared_experts": 1},
    "dots3_note_text": {"num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "n_shared_experts": 1},
    "fuyu": {
        "text_config": {
            "model_type": "persimmon",
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        }
    },
    "dbrx": {
        "attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "gemma3n_text": {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 16,
        "num_kv_shared_layers": 0,
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gemma4_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 16},
    "gemma4_unified_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "hunyuan_v1_dense": _HEAD,
    "hunyuan_v1_moe": _HEAD,
    "ministral": _HEAD,
    "nemotron": {**_HEAD, "num_key_value_heads": 2},
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "olmo_hybrid"), _BOTH),
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2, "num_dense_layers": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2},
    "mamba2": {"hidden_size": 64, "expand": 2, "num_heads": 8, "head_dim": 16, "n_groups": 1},
    "reformer": {
        "is_decoder": True,
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [32, 32],
        "hidden_size": 64,
        "attention_head_size": 16,
    },
    "xlm": {"emb_dim": 64},
    "flaubert": {"emb_dim": 64},
    "esm": {"vocab_size": VOCABULARY, "mask_token_id": 3},
    "esmc": {"vocab_size": VOCABULARY},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
}


def small(config_class: Any, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return arguments of a configuration class that make its model small, including its sub-configurations; `given` has fixed values."""
    given = dict(given or {})
    fields = {**config_class.default_config_fields(), **{name: value for name, value in given.items() if name != "model_type"}}
    fields = {name: value for name, value in fields.items() if name not in config_class.attribute_map}
    layers = next((value for name, value in fields.items() if re.search(r"^(num_hidden_layers|n_layers?|num_layers|n_layer)$", name)), None)
    found: dict[str, Any] = {}
    forced = OVERRIDES.get(config_class.model_type, {})
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0 or _KEEP.search(name):
            continue
        size = next((size for pattern, size in _SIZES if re.search(pattern, name)), None)
        if size is not None:
            found[name] = min(size, value)
    if "kv_lora_rank" in fields and "num_key_value_heads" in found:  # latent attention needs equal numbers
        found["num_key_value_heads"] = found.get("num_attention_heads", 4)
    lists = {name: value for name, value in fields.items() if isinstance(value, list | tuple) and layers and len(value) == layers}
    if lists:  # lists with one entry per layer: as many layers as there are kinds of layers
        kinds = list(dict.fromkeys(map(str, zip(*lists.values(), strict=True))))
        places = [list(map(str, zip(*lists.values(), strict=True))).index(kind) for kind in kinds][:6]
        places = places if len(places) > 1 else [0, 0]
        found |= {name: [value[place] for place in places] for name, value in lists.items()}
        found |= {name: len(places) for name, value in fields.items() if value == layers and re.search(r"layers?$", name)}
    for name, value in fields.items():  # token ids must be distinct and within the vocabulary
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and re.search(r"_token_(id|index)$|_token_ids$|_id$", name)
            and value >= VOCABULARY
        ):
            found[name] = 300 + sum(map(ord, name)) % 200
    for key, spec in config_class.sub_configs_defaults.items():
        if spec.optional:
            continue
        own = forced.get(key) or given.get(key) or dict(spec.init_kwargs)
        kind = own.get("model_type") or spec.model_type
        if not kind:
            continue
        part = (
            spec.config_class
            if hasattr(spec.config_class, "default_config_fields") and spec.config_class.model_type
            else spec.get_config_class(kind)
        )
        found[key] = {**own, **small(part, own), "model_type": kind}
    return {**given, **found, **{name: value for name, value in forced.items() if name not in config_class.sub_configs_defaults}}
