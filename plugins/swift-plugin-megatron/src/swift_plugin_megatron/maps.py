"""How an architecture's weights lie in transformers and in megatron-core, as tables.

An entry names weights on both sides and the way between them. `{layer}` counts the decoder layers, a last `*` stands for `weight` and `bias`, whichever there are. What no entry names is refused, never left out.

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

Kind = Literal["copy", "column", "row", "vocabulary", "gated", "qkv"]
"""What becomes of the weights on the way:

- `copy`: the same on every process.
- `column`: cut by outputs, the first dimension.
- `row`: cut by inputs, the second dimension; its bias is whole.
- `vocabulary`: cut by tokens, filled up with zeros to a number that the processes divide.
- `gated`: gate and up, each cut by outputs, one after the other.
- `qkv`: query, key and value, cut by heads, and interleaved by groups of heads that share a key.
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
    _layer("self_attn.q_norm.weight", "self_attention.q_layernorm.weight", "copy"),
    _layer("self_attn.k_norm.weight", "self_attention.k_layernorm.weight", "copy"),
)
MLP = (
    _layer(("mlp.gate_proj.*", "mlp.up_proj.*"), "mlp.linear_fc1.*", "gated"),
    _layer("mlp.down_proj.*", "mlp.linear_fc2.*", "row"),
)
DECODER = (*AROUND, *ATTENTION, *MLP)

_PLAIN = {"hidden_act": "silu", "attention_dropout": 0.0, "attention_bias": False, "mlp_bias": False}

ARCHITECTURES = (
    Architecture(("llama", "mistral"), DECODER, needs=_PLAIN),
    Architecture(("qwen2",), DECODER, settings={"add_qkv_bias": True}, needs=_PLAIN),
    Architecture(("qwen3",), (*DECODER, *QK_NORMS), settings={"qk_layernorm": True}, needs=_PLAIN),
)


@cache
def architectures() -> Mapping[str, Architecture]:
    """Every architecture by the model type of `config.json`: those of installed distributions win over those here."""
    found = list(ARCHITECTURES)
    for point in entry_points(group="swift.megatron_maps"):
        loaded = point.load()
        found += [loaded] if isinstance(loaded, Architecture) else list(loaded)
    return {name: architecture for architecture in found for name in architecture.model_types}
