"""megatron-core's GPTModel from a transformers configuration: one stage of it, with this process's part of each layer.

Nothing of it is patched. Some modules of the layer's specification are ours: the attention between q, k, v and the output (megatron-core's
own knows neither rows one after the other nor a CPU), the norm, and linear layers that exchange tokens (`sequence`). Positions go through
the layers as the lengths of the rows, in the place of an attention mask.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.context_parallel import row_lengths
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from swift_plugin_megatron import groups, moe, sequence_parallel
from swift_plugin_megatron.attention import CoreAttention, windows_of
from swift_plugin_megatron.collectives import gather, own_part

with warnings.catch_warnings():  # of libraries that are absent, at each import
    warnings.simplefilter("ignore")
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer import TransformerConfig
    from megatron.core.transformer.spec_utils import ModuleSpec
    from megatron.core.transformer.transformer_block import TransformerBlockSubmodules

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.maps import Architecture
    from swift_plugin_megatron.sizes import Sizes


class Norm(nn.RMSNorm):
    """torch's RMSNorm, built as megatron-core builds norms."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float) -> None:
        super().__init__(hidden_size, eps=eps)


def megatron_config(config: Any, architecture: Architecture, sizes: Sizes, dtype: torch.dtype) -> TransformerConfig:
    """megatron-core's configuration of a model of transformers, every fused kernel off."""
    heads = config.num_attention_heads
    with warnings.catch_warnings():  # of its own defaults, and of exchanges that are ours
        warnings.simplefilter("ignore")
        return TransformerConfig(
            num_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            ffn_hidden_size=config.intermediate_size,
            num_attention_heads=heads,
            num_query_groups=config.num_key_value_heads,
            kv_channels=getattr(config, "head_dim", None) or config.hidden_size // heads,
            layernorm_epsilon=config.rms_norm_eps,
            normalization="RMSNorm",
            activation_func=functional.silu,
            gated_linear_unit=True,
            add_bias_linear=False,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            tensor_model_parallel_size=sizes.tensor,
            context_parallel_size=sizes.context,
            pipeline_model_parallel_size=sizes.pipeline,
            virtual_pipeline_model_parallel_size=sizes.chunks if sizes.chunks > 1 else None,
            expert_model_parallel_size=sizes.expert,
            expert_tensor_parallel_size=1,
            moe_token_dispatcher_type="allgather",
            moe_router_load_balancing_type="none",
            pipeline_dtype=dtype,
            params_dtype=dtype,
            use_cpu_initialization=True,
            perform_initialization=False,  # every weight is put in from the checkpoint
            gradient_accumulation_fusion=False,
            bias_activation_fusion=False,
            bias_dropout_fusion=False,
            masked_softmax_fusion=False,
            apply_rope_fusion=False,
            persist_layer_norm=False,
            **architecture.settings,
            **{ours: getattr(config, theirs) for ours, theirs in architecture.from_config.items()},
        )


class Stage(nn.Module):
    """One stage of the model, called as transformers' causal models are called.

    The first stage begins with token ids, the others with what `given` was set to; the last gives logits, the others hidden states.

    Args:
        rotary: transformers' own module for rotary positions, which holds no weights.
        chunk: which of this process's stages it is.
        cut: whether tokens are cut between the parts of a layer (sequence parallelism).
        share: whether the head is the embeddings.
        padding: the token whose embedding does not learn, where transformers' model has one.
    """

    def __init__(
        self, theirs: Any, config: TransformerConfig, rotary: nn.Module, *, chunk: int, cut: bool, first: bool, last: bool, share: bool,
        padding: int | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.vocabulary: int = theirs.vocab_size
        self.width: int = theirs.hidden_size
        self.first, self.last, self.cut = first, last, cut
        self._lengths: tuple[int, ...] = ()
        virtual = chunk if config.virtual_pipeline_model_parallel_size else None
        parts = config.tensor_model_parallel_size
        self.model = GPTModel(
            config,
            layer_spec(theirs, config, rotary, virtual, cut=cut),
            vocab_size=-(-theirs.vocab_size // parts) * parts,
            max_sequence_length=theirs.max_position_embeddings,
            pre_process=first,
            post_process=last,
            share_embeddings_and_output_weights=share,
            position_embedding_type="none",
            vp_stage=virtual,
        )
        if first and padding is not None:
            self.model.embedding.word_embeddings.register_forward_hook(partial(_learn_nothing_of, padding))
        if first and cut:
            self.model.embedding.register_forward_hook(lambda module, given, embedded: own_part(embedded, 0, groups.tensor()))

    def recompute(self) -> None:
        """Keep of each layer only what goes in, and compute it again for the backward pass."""
        for layer in self.model.decoder.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

    def given(self, hidden: Tensor | None) -> None:
        """Set what the stage before has given."""
        self.model.set_input_tensor(hidden)

    def rows(self, lengths: tuple[int, ...]) -> None:
        """Set how long the rows of the next pass are, where its positions don't tell: they may be those of some of the tokens."""
        self._lengths = lengths

    def forward(
        self, input_ids: Tensor, position_ids: Tensor | None = None, logits_to_keep: Tensor | None = None, use_cache: bool = False
    ) -> Any:
        """Logits (1, positions, vocabulary) at the positions to keep, as `.logits`."""
        from transformers.modeling_outputs import CausalLMOutput

        def head(hidden_states: Tensor, output_layer: nn.Module, output_weight: Tensor | None, **_: Any) -> Tensor:
            hidden_states = gather(hidden_states, 0, groups.tensor()) if self.cut else hidden_states
            kept = hidden_states if logits_to_keep is None else hidden_states.index_select(0, logits_to_keep)
            logits = gather(output_layer(kept, weight=output_weight)[0], -1, groups.tensor())
            return logits.transpose(0, 1)[..., : self.vocabulary]

        return CausalLMOutput(logits=self._run(input_ids, position_ids, head))

    def hidden(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Hidden states (tokens, 1, width), of a stage that is not the last; of this process's tokens, where they are cut."""
        return self._run(input_ids, position_ids, None)

    def _run(self, input_ids: Tensor, position_ids: Tensor | None, head: Any) -> Tensor:
        known = self._lengths or (row_lengths(position_ids) if position_ids is not None else [input_ids.shape[1]])
        lengths = torch.tensor(known)  # on the CPU, where every layer reads it
        result: Tensor = self.model(input_ids, position_ids, lengths, output_processor=head)
        return result


def layer_spec(theirs: Any, config: TransformerConfig, rotary: nn.Module, virtual: int | None, *, cut: bool) -> TransformerBlockSubmodules:
    """The layers of a stage of this process, with our attention and norm in them."""
    from megatron.core.transformer.transformer_block import get_num_layers_to_build
    from megatron.core.transformer.transformer_layer import get_transformer_layer_offset

    offset, windows = get_transformer_layer_offset(config, virtual), windows_of(theirs)
    layers = []
    for number in range(get_num_layers_to_build(config, virtual)):
        spec: ModuleSpec = get_gpt_layer_local_spec(
            num_experts=config.num_moe_experts, qk_layernorm=config.qk_layernorm, normalization="RMSNorm"
        )
        attention = spec.submodules.self_attention.submodules
        attention.core_attention = CoreAttention.on(rotary, windows[offset + number])
        spec.submodules.input_layernorm = spec.submodules.pre_mlp_layernorm = Norm
        if config.qk_layernorm:
            attention.q_layernorm = attention.k_layernorm = Norm
        if config.num_moe_experts:
            moe.use(spec.submodules)
        if cut:
            sequence_parallel.use(spec.submodules)
        layers.append(spec)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=Norm)


def _learn_nothing_of(token: int, embeddings: nn.Module, given: tuple[Tensor], embedded: Tensor) -> Tensor:
    """What torch's `padding_idx` does, which transformers sets: other losses the same, a token that also ends turns would learn more."""
    return torch.where((given[0] == token).unsqueeze(-1), embedded.detach(), embedded)
