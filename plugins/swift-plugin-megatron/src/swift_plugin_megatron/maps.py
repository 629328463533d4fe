"""Weight maps: tables that map an architecture's weights in transformers to those in megatron-core.

An entry names the weights on both sides and how they are converted. `{layer}` is the index of a decoder layer, `{expert}` that of an
expert, and a final `*` stands for `weight` and, if present, `bias`. A weight that no entry names is an error; none is ever dropped.

Other distributions add architectures with an entry point in the group `swift.megatron_maps` that names an `Architecture` or a list of them:

    [project.entry-points."swift.megatron_maps"]
    olmo = "my_package.maps:OLMO"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

Kind = Literal["copy", "heads", "column", "row", "vocabulary", "gated", "qkv", "experts"]
"""Conversion and sharding of weights by tensor parallelism:

- `copy`: replicated on every process.
- `heads`: replicated too, but each process uses it for its own heads only, so its gradients are partial.
- `column`: sharded by outputs, the first dimension.
- `row`: sharded by inputs, the second dimension; a bias is replicated.
- `vocabulary`: sharded by tokens, the first dimension, padded with zeros to a multiple of the tensor-parallel size.
- `gated`: gate and up projection, each sharded by outputs, then concatenated.
- `qkv`: query, key and value projection, sharded by heads, then interleaved by groups of query heads that share a key head.
- `experts`: a tensor whose first dimension is the expert, split into one weight per expert; experts are distributed by expert parallelism.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Names of weights in transformers, the name of the megatron-core weight that they form, and the kind of conversion."""

    hf_names: tuple[str, ...]
    mcore_name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of transformers that megatron-core's GPTModel implements.

    Args:
        model_types: its values of `model_type` in `config.json`.
        entries: its weights.
        settings: fields of megatron-core's TransformerConfig in addition to those that every decoder has.
        from_config: further fields, with the names of the `config.json` fields that have their values.
        requires: fields of `config.json` that must be absent or have this value.
    """

    model_types: tuple[str, ...]
    entries: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    from_config: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, Any] = field(default_factory=dict)


_HF_LAYER, _MCORE_LAYER = "model.layers.{layer}", "decoder.layers.{layer}"


def _layer(hf_names: str | tuple[str, ...], mcore_name: str, kind: Kind) -> Entry:
    names = (hf_names,) if isinstance(hf_names, str) else hf_names
    return Entry(tuple(f"{_HF_LAYER}.{name}" for name in names), f"{_MCORE_LAYER}.{mcore_name}", kind)


OUTER = (
    Entry(("model.embed_tokens.weight",), "embedding.word_embeddings.weight", "vocabulary"),
    Entry(("model.norm.weight",), "decoder.final_layernorm.weight", "copy"),
    Entry(("lm_head.weight",), "output_layer.weight", "vocabulary"),
)
ATTENTION = (
    _layer("input_layernorm.weight", "input_layernorm.weight", "copy"),
    _layer(("self_attn.q_proj.*", "self_attn.k_proj.*", "self_attn.v_proj.*"), "self_attention.linear_qkv.*", "qkv"),
    _layer("self_attn.o_proj.*", "self_attention.linear_proj.*", "row"),
    _layer("post_attention_layernorm.weight", "pre_mlp_layernorm.weight", "copy"),
)
QK_NORMS = (
    _layer("self_attn.q_norm.weight", "self_attention.q_layernorm.weight", "heads"),
    _layer("self_attn.k_norm.weight", "self_attention.k_layernorm.weight", "heads"),
)
MLP = (
    _layer(("mlp.gate_proj.*", "mlp.up_proj.*"), "mlp.linear_fc1.*", "gated"),
    _layer("mlp.down_proj.*", "mlp.linear_fc2.*", "row"),
)
EXPERTS = (
    _layer("mlp.gate.weight", "mlp.router.weight", "copy"),
    _layer("mlp.experts.gate_up_proj", "mlp.experts.local_experts.{expert}.linear_fc1.weight", "experts"),
    _layer("mlp.experts.down_proj", "mlp.experts.local_experts.{expert}.linear_fc2.weight", "experts"),
)
SHARED_EXPERT = (
    _layer(("mlp.shared_expert.gate_proj.weight", "mlp.shared_expert.up_proj.weight"), "mlp.shared_experts.linear_fc1.weight", "gated"),
    _layer("mlp.shared_expert.down_proj.weight", "mlp.shared_experts.linear_fc2.weight", "row"),
    _layer("mlp.shared_expert_gate.weight", "mlp.shared_experts.gate_weight", "copy"),
)
DECODER = (*OUTER, *ATTENTION, *MLP)

_STANDARD = {"hidden_act": "silu", "attention_dropout": 0.0, "attention_bias": False, "mlp_bias": False}
_MOE_FIELDS = {
    "num_moe_experts": "num_experts",
    "moe_router_topk": "num_experts_per_tok",
    "moe_ffn_hidden_size": "moe_intermediate_size",
}
_ALL_SPARSE = {**_STANDARD, "decoder_sparse_step": 1, "mlp_only_layers": []}

ARCHITECTURES = (
    Architecture(("llama", "mistral"), DECODER, requires=_STANDARD),
    Architecture(("qwen2",), DECODER, settings={"add_qkv_bias": True}, requires=_STANDARD),
    Architecture(("qwen3",), (*DECODER, *QK_NORMS), settings={"qk_layernorm": True}, requires=_STANDARD),
    Architecture(
        ("qwen3_moe",),
        (*OUTER, *ATTENTION, *QK_NORMS, *EXPERTS),
        settings={"qk_layernorm": True},
        from_config=_MOE_FIELDS,
        requires={**_ALL_SPARSE, "norm_topk_prob": True},
    ),
    Architecture(
        ("qwen2_moe",),
        (*OUTER, *ATTENTION, *EXPERTS, *SHARED_EXPERT),
        settings={"add_qkv_bias": True, "moe_shared_expert_gate": True, "moe_router_pre_softmax": True},
        from_config={**_MOE_FIELDS, "moe_shared_expert_intermediate_size": "shared_expert_intermediate_size"},
        requires={**_ALL_SPARSE, "norm_topk_prob": False, "qkv_bias": True},
    ),
)


@cache
def architectures() -> Mapping[str, Architecture]:
    """Return every architecture by model type; those of installed distributions override the ones defined here."""
    found = list(ARCHITECTURES)
    for point in entry_points(group="swift.megatron_maps"):
        loaded = point.load()
        found += [loaded] if isinstance(loaded, Architecture) else list(loaded)
    return {name: architecture for architecture in found for name in architecture.model_types}
