"""How each architecture lies in a GGUF file, as data: which fields of `config.json` are kept, which weights are changed, and how.

Names of tensors are those of the `gguf` library, which has a table an architecture; a layout adds what that lacks. Another distribution
adds layouts by an entry point of the group `swift_gguf.layouts`, `name = "module:LAYOUTS"`; its layouts win over these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from swift_core.specs import Ref

GROUP = "swift_gguf.layouts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An architecture's layout.

    `architectures` are those of `config.json`, `arch` is GGUF's name. `keys` maps GGUF keys (without the arch in front) to fields of
    `config.json`; of "one|other" the one that is there. `changes` maps patterns of tensor names to a function (tensor, config) -> tensor
    of the same shape; the first that fits counts. `names` maps names of tensors that the library has no name for, `{n}` being the block:
    {"model.layers.{n}.a.weight": "blk.{n}.b.weight"}. `assumes` are values of config fields that readers take for granted: with any
    other value the file would be read wrongly.
    """

    architectures: tuple[str, ...]
    arch: str
    keys: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, Ref] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    assumes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


COMMON: Mapping[str, str] = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "vocab_size": "vocab_size",
}
_EXPERTS = {
    "expert_count": "num_experts|num_local_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
_WINDOW = {"attention.sliding_window": "sliding_window"}

_ROTATED = {
    "*.q_proj.*": Ref("swift_plugin_gguf.transforms:interleave_queries"),
    "*.k_proj.*": Ref("swift_plugin_gguf.transforms:interleave_keys"),
}
_ONE_MORE = {"*norm.weight": Ref("swift_plugin_gguf.transforms:add_one")}
_SILU = {"hidden_act": ("silu",)}
_GELU = {"hidden_activation": ("gelu_pytorch_tanh", None)}
_NO_WINDOW = {"use_sliding_window": (False, None)}
_ALL_MIXTURES = {"norm_topk_prob": (True,), "decoder_sparse_step": (1, None), "mlp_only_layers": ([], None)}

LAYOUTS: tuple[Layout, ...] = (
    Layout(architectures=("LlamaForCausalLM", "MistralForCausalLM"), arch="llama", transforms=_ROTATED, assumes=_SILU),
    Layout(
        architectures=("MixtralForCausalLM",),
        arch="llama",
        keys={"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
        transforms=_ROTATED,
        assumes=_SILU,
    ),
    Layout(architectures=("Qwen2ForCausalLM",), arch="qwen2", assumes=_SILU | _NO_WINDOW),
    Layout(architectures=("Qwen3ForCausalLM",), arch="qwen3", assumes=_SILU | _NO_WINDOW),
    Layout(
        architectures=("Qwen2MoeForCausalLM",),
        arch="qwen2moe",
        keys=_EXPERTS | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        assumes=_SILU | _NO_WINDOW | _ALL_MIXTURES | {"norm_topk_prob": (False, None)},
    ),
    Layout(architectures=("Qwen3MoeForCausalLM",), arch="qwen3moe", keys=_EXPERTS, assumes=_SILU | _NO_WINDOW | _ALL_MIXTURES),
    Layout(architectures=("GemmaForCausalLM",), arch="gemma", transforms=_ONE_MORE, assumes=_GELU),
    Layout(
        architectures=("Gemma2ForCausalLM",),
        arch="gemma2",
        keys=_WINDOW | {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"},
        transforms=_ONE_MORE,
        assumes=_GELU,
    ),
    Layout(architectures=("Gemma3ForCausalLM",), arch="gemma3", keys=_WINDOW, transforms=_ONE_MORE, assumes=_GELU),
    Layout(architectures=("Phi3ForCausalLM",), arch="phi3", keys=_WINDOW, assumes=_SILU),
)


def layouts() -> tuple[Layout, ...]:
    """All layouts, those of other distributions first."""
    others = [layout for point in sorted(entry_points(group=GROUP), key=lambda point: point.name) for layout in point.load()]
    return (*others, *LAYOUTS)


def layout_of(config: Mapping[str, Any]) -> Layout | None:
    """The layout of a `config.json`'s architecture, or None."""
    named = config.get("architectures") or ()
    return next((layout for layout in layouts() if set(named) & set(layout.architectures)), None)
