"""The GGUF layout of each architecture, as data: the fields of `config.json` that are stored, and the transforms of weights.

Tensor names come from the `gguf` library, which has a table per architecture; a layout adds missing names. Another distribution adds
layouts through an entry point of the group `swift_gguf.layouts`, `name = "module:LAYOUTS"`; its layouts take precedence over these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from swift_core.contract import Ref

GROUP = "swift_gguf.layouts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The GGUF layout of one or more architectures.

    `architectures` are names from `config.json`, `arch` is the GGUF architecture. `keys` maps GGUF keys (without the `arch` prefix) to
    fields of `config.json`; "one|other" stands for whichever is present. `transforms` maps patterns of tensor names to a function
    (tensor, config) -> tensor of the same shape; the first match is used. `names` maps tensor names that the `gguf` library lacks, with the
    block number as `{n}`: {"model.layers.{n}.a.weight": "blk.{n}.b.weight"}. `assumes` lists the values of config fields that readers take
    for granted: a checkpoint with any other value is rejected.
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

_INTERLEAVED = {
    "*.q_proj.*": Ref("swift_plugin_gguf.transforms:interleave_queries"),
    "*.k_proj.*": Ref("swift_plugin_gguf.transforms:interleave_keys"),
}
_ADD_ONE = {"*norm.weight": Ref("swift_plugin_gguf.transforms:add_one")}
_SILU = {"hidden_act": ("silu",)}
_GELU = {"hidden_activation": ("gelu_pytorch_tanh", None)}
_NO_WINDOW = {"use_sliding_window": (False, None)}
_ALL_MOE: dict[str, tuple[Any, ...]] = {
    "norm_topk_prob": (True,),
    "decoder_sparse_step": (1, None),
    "mlp_only_layers": ([], None),
}

LAYOUTS: tuple[Layout, ...] = (
    Layout(architectures=("LlamaForCausalLM", "MistralForCausalLM"), arch="llama", transforms=_INTERLEAVED, assumes=_SILU),
    Layout(
        architectures=("MixtralForCausalLM",),
        arch="llama",
        keys={"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
        transforms=_INTERLEAVED,
        assumes=_SILU,
    ),
    Layout(architectures=("Qwen2ForCausalLM",), arch="qwen2", assumes=_SILU | _NO_WINDOW),
    Layout(architectures=("Qwen3ForCausalLM",), arch="qwen3", assumes=_SILU | _NO_WINDOW),
    Layout(
        architectures=("Qwen2MoeForCausalLM",),
        arch="qwen2moe",
        keys=_EXPERTS | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        assumes=_SILU | _NO_WINDOW | _ALL_MOE | {"norm_topk_prob": (False, None)},
    ),
    Layout(architectures=("Qwen3MoeForCausalLM",), arch="qwen3moe", keys=_EXPERTS, assumes=_SILU | _NO_WINDOW | _ALL_MOE),
    Layout(architectures=("GemmaForCausalLM",), arch="gemma", transforms=_ADD_ONE, assumes=_GELU),
    Layout(
        architectures=("Gemma2ForCausalLM",),
        arch="gemma2",
        keys=_WINDOW | {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"},
        transforms=_ADD_ONE,
        assumes=_GELU,
    ),
    Layout(architectures=("Gemma3ForCausalLM",), arch="gemma3", keys=_WINDOW, transforms=_ADD_ONE, assumes=_GELU),
    Layout(architectures=("Phi3ForCausalLM",), arch="phi3", keys=_WINDOW, assumes=_SILU),
)


def layouts() -> tuple[Layout, ...]:
    """Return all layouts, those of other distributions first."""
    others = [layout for point in sorted(entry_points(group=GROUP), key=lambda point: point.name) for layout in point.load()]
    return (*others, *LAYOUTS)


def layout_of(config: Mapping[str, Any]) -> Layout | None:
    """Return the layout of the architecture in `config.json`, or None."""
    named = config.get("architectures") or ()
    return next((layout for layout in layouts() if set(named) & set(layout.architectures)), None)
