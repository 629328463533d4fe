"""How an architecture's weights lie in transformers and in megatron-core, as tables.

An entry names weights on both sides and the way between them. `{layer}` counts the decoder layers, `{expert}` a layer's experts, and a
last `*` stands for `weight` and `bias`, whichever there are. What no entry names is refused, never left out.

Others add architectures with an entry point in the group `swift.megatron_maps` that names an `Architecture`, or a list of some:

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
"""What becomes of the weights on the way:

- `copy`: the same on every process.
- `heads`: the same on every process too, each of which computes with it for its own heads alone.
- `column`: cut by outputs, the first dimension.
- `row`: cut by inputs, the second dimension; its bias is whole.
- `vocabulary`: cut by tokens, filled up with zeros to a number that the processes divide.
- `gated`: gate and up, each cut by outputs, one after the other.
- `qkv`: query, key and value, cut by heads, and interleaved by groups of heads that share a key.
- `experts`: a tensor with a dimension for the experts, one weight an expert, dealt out over the processes.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Weights of transformers, the weight of megatron-core that they make up, and how."""

    theirs: tuple[str, ...]
    ours: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of transformers that megatron-core's GPTModel can be.

    Args:
        model_types: as `config.json` names it.
        entries: its weights.
        settings: fields of megatron-core's TransformerConfig beside those that every decoder has.
        from_config: further fields, by the name that `config.json` has for them.
        needs: fields of `config.json` that must have this value where they are there, for this table to be true.
    """

    model_types: tuple[str, ...]
    entries: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    from_config: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)


_THEIRS, _OURS = "model.layers.{layer}", "decoder.layers.{layer}"


def _layer(theirs: str | tuple[str, ...], ours: str, kind: Kind) -> Entry:
    names = (theirs,) if isinstance(theirs, str) else theirs
    return Entry(tuple(f"{_THEIRS}.{name}" for name in names), f"{_OURS}.{ours}", kind)


AROUND = (
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
MIXTURE = (
    _layer("mlp.gate.weight", "mlp.router.weight", "copy"),
    _layer("mlp.experts.gate_up_proj", "mlp.experts.local_experts.{expert}.linear_fc1.weight", "experts"),
    _layer("mlp.experts.down_proj", "mlp.experts.local_experts.{expert}.linear_fc2.weight", "experts"),
)
SHARED_EXPERT = (
    _layer(("mlp.shared_expert.gate_proj.weight", "mlp.shared_expert.up_proj.weight"), "mlp.shared_experts.linear_fc1.weight", "gated"),
    _layer("mlp.shared_expert.down_proj.weight", "mlp.shared_experts.linear_fc2.weight", "row"),
    _layer("mlp.shared_expert_gate.weight", "mlp.shared_experts.gate_weight", "copy"),
)
DECODER = (*AROUND, *ATTENTION, *MLP)

_PLAIN = {"hidden_act": "silu", "attention_dropout": 0.0, "attention_bias": False, "mlp_bias": False}
_ROUTED = {
    "num_moe_experts": "num_experts",
    "moe_router_topk": "num_experts_per_tok",
    "moe_ffn_hidden_size": "moe_intermediate_size",
}
_ALL_SPARSE = {**_PLAIN, "decoder_sparse_step": 1, "mlp_only_layers": []}

ARCHITECTURES = (
    Architecture(("llama", "mistral"), DECODER, needs=_PLAIN),
    Architecture(("qwen2",), DECODER, settings={"add_qkv_bias": True}, needs=_PLAIN),
    Architecture(("qwen3",), (*DECODER, *QK_NORMS), settings={"qk_layernorm": True}, needs=_PLAIN),
    Architecture(
        ("qwen3_moe",),
        (*AROUND, *ATTENTION, *QK_NORMS, *MIXTURE),
        settings={"qk_layernorm": True},
        from_config=_ROUTED,
        needs={**_ALL_SPARSE, "norm_topk_prob": True},
    ),
    Architecture(
        ("qwen2_moe",),
        (*AROUND, *ATTENTION, *MIXTURE, *SHARED_EXPERT),
        settings={"add_qkv_bias": True, "moe_shared_expert_gate": True, "moe_router_pre_softmax": True},
        from_config={**_ROUTED, "moe_shared_expert_intermediate_size": "shared_expert_intermediate_size"},
        needs={**_ALL_SPARSE, "norm_topk_prob": False, "qkv_bias": True},
    ),
)


@cache
def architectures() -> Mapping[str, Architecture]:
    """Every architecture by the model type of `config.json`: those of installed distributions win over those here."""
    found = list(ARCHITECTURES)
    for point in entry_points(group="swift.megatron_maps"):
        loaded = point.load()
        found += [loaded] if isinstance(loaded, Architecture) else list(loaded)
    return {name: architecture for architecture in found for name in architecture.model_types}
