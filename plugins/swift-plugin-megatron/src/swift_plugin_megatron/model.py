"""megatron-core's GPTModel from a transformers configuration: one pipeline stage, with this process's shard of each layer.

Nothing is patched. Some modules of the layer specification are replaced: the attention between q, k, v and the output projection
(megatron-core's own supports neither packed rows nor CPUs), the norm, and linear layers with sequence parallelism. Instead of an attention
mask, the lengths of the rows are passed through the layers.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from swift_train.context_outputs import ShardedCall
from swift_train.context_parallel import row_lengths
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from swift_plugin_megatron import groups, moe
from swift_plugin_megatron.attention import CoreAttention, windows_of
from swift_plugin_megatron.collectives import gather_shards, take_shard
from swift_plugin_megatron.sequence_parallel import apply_to as apply_sequence_parallel

with warnings.catch_warnings():  # about optional libraries that are absent
    warnings.simplefilter("ignore")
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer import TransformerConfig
    from megatron.core.transformer.spec_utils import ModuleSpec
    from megatron.core.transformer.transformer_block import TransformerBlockSubmodules

if TYPE_CHECKING:
    from torch import Tensor

    from swift_plugin_megatron.maps import Architecture
    from swift_plugin_megatron.options import MegatronOptions
    from swift_plugin_megatron.sizes import Sizes


class Norm(nn.RMSNorm):
    """torch's RMSNorm with the constructor that megatron-core expects."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float) -> None:
        super().__init__(hidden_size, eps=eps)


def megatron_config(
    config: Any, architecture: Architecture, sizes: Sizes, dtype: torch.dtype, options: MegatronOptions | None = None
) -> TransformerConfig:
    """Return megatron-core's configuration of a transformers model, with all fused kernels disabled.

    Args:
        config: the configuration of transformers.
        dtype: compute type of the passes.
        options: the options of the strategy, for the losses of routers and the capacity of experts.
    """
    heads = config.num_attention_heads
    with warnings.catch_warnings():  # about its own defaults, and communication that it does not do here
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
            num_layers_in_first_pipeline_stage=sizes.first_layers,
            num_layers_in_last_pipeline_stage=sizes.last_layers,
            expert_model_parallel_size=sizes.expert,
            expert_tensor_parallel_size=1,
            moe_token_dispatcher_type="allgather",
            **moe.balancing(options),
            pipeline_dtype=dtype,
            params_dtype=dtype,
            use_cpu_initialization=True,
            perform_initialization=False,  # every weight is loaded from the checkpoint
            gradient_accumulation_fusion=False,
            bias_activation_fusion=False,
            bias_dropout_fusion=False,
            masked_softmax_fusion=False,
            apply_rope_fusion=False,
            persist_layer_norm=False,
            **architecture.settings,
            **{field: getattr(config, name) for field, name in architecture.from_config.items()},
        )


class Stage(nn.Module):
    """One pipeline stage, called like a causal language model of transformers.

    The first stage takes token ids, the others the hidden states set with `set_input`; the last stage returns logits, the others hidden
    states.

    Args:
        hf_config: the configuration of transformers.
        rotary: transformers' module of rotary position embeddings, which has no weights.
        chunk: index of the stage among those of this process.
        sequence_parallel: whether the activations between layers are sharded by tokens.
        is_first: whether it is the first stage of the pipeline, which has the embedding.
        is_last: whether it is the last stage of the pipeline, which has the head.
        tied: whether the head shares the weights of the embedding.
        padding_id: token whose embedding gets no gradient, as with `padding_idx` in transformers; None if there is none.
    """

    def __init__(
        self, hf_config: Any, config: TransformerConfig, rotary: nn.Module, *, chunk: int, sequence_parallel: bool, is_first: bool,
        is_last: bool, tied: bool, padding_id: int | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.vocab_size: int = hf_config.vocab_size
        self.hidden_size: int = hf_config.hidden_size
        self.is_first, self.is_last, self.sequence_parallel = is_first, is_last, sequence_parallel
        self._lengths: tuple[int, ...] = ()
        self._whole = False
        virtual_stage = chunk if config.virtual_pipeline_model_parallel_size else None
        shards = config.tensor_model_parallel_size
        self.model = GPTModel(
            config,
            block_spec(hf_config, config, rotary, virtual_stage, sequence_parallel=sequence_parallel),
            vocab_size=-(-hf_config.vocab_size // shards) * shards,
            max_sequence_length=hf_config.max_position_embeddings,
            pre_process=is_first,
            post_process=is_last,
            share_embeddings_and_output_weights=tied,
            position_embedding_type="none",
            vp_stage=virtual_stage,
        )
        if is_first and padding_id is not None:
            self.model.embedding.word_embeddings.register_forward_hook(partial(_detach_padding, padding_id))
        if is_first and sequence_parallel:
            self.model.embedding.register_forward_hook(lambda module, inputs, embedded: take_shard(embedded, 0, groups.tensor()))

    def enable_checkpointing(self) -> None:
        """Enable activation checkpointing: keep each layer's input only, and recompute the layer in the backward pass."""
        for layer in self.model.decoder.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

    def set_input(self, hidden_states: Tensor | None) -> None:
        """Set the hidden states received from the previous stage."""
        self.model.set_input_tensor(hidden_states)

    def set_row_lengths(self, lengths: tuple[int, ...], *, whole: bool = False) -> None:
        """Set the lengths of the rows of the next pass; the position ids of a shard of the tokens do not have them.

        With `whole`, the pass gets all tokens of a context-parallel group: it computes those of this process, and gathers the logits.
        """
        self._lengths, self._whole = lengths, whole

    def forward(
        self, input_ids: Tensor, position_ids: Tensor | None = None, logits_to_keep: Tensor | None = None, use_cache: bool = False
    ) -> Any:
        """Return logits (1, positions, vocabulary) at the positions to keep, as `.logits`."""
        from transformers.modeling_outputs import CausalLMOutput

        call = ShardedCall(input_ids.shape[1], logits_to_keep, groups.context()) if self._whole else None
        if call:
            input_ids, logits_to_keep = input_ids[:, call.tokens], call.positions
            position_ids = None if position_ids is None else position_ids[:, call.tokens]

        def head(hidden_states: Tensor, output_layer: nn.Module, output_weight: Tensor | None, **_: Any) -> Tensor:
            hidden_states = gather_shards(hidden_states, 0, groups.tensor()) if self.sequence_parallel else hidden_states
            kept = hidden_states if logits_to_keep is None else hidden_states.index_select(0, logits_to_keep)
            logits = gather_shards(output_layer(kept, weight=output_weight)[0], -1, groups.tensor())
            return logits.transpose(0, 1)[..., : self.vocab_size]

        logits = self._run(input_ids, position_ids, head)
        return CausalLMOutput(logits=call.gather(logits) if call else logits)

    def hidden_states(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Return the hidden states (local tokens, 1, hidden size) of a stage that is not the last."""
        return self._run(input_ids, position_ids, None)

    def _run(self, input_ids: Tensor, position_ids: Tensor | None, head: Any) -> Tensor:
        known = self._lengths or (row_lengths(position_ids) if position_ids is not None else [input_ids.shape[1]])
        lengths = torch.tensor(known)  # on the CPU, since every layer reads it there
        result: Tensor = self.model(input_ids, position_ids, lengths, output_processor=head)
        return result


def block_spec(
    hf_config: Any, config: TransformerConfig, rotary: nn.Module, virtual_stage: int | None, *, sequence_parallel: bool
) -> TransformerBlockSubmodules:
    """Return the specification of a stage's layers, with the attention, norm and linear layers of this package."""
    from megatron.core.transformer.transformer_block import get_num_layers_to_build
    from megatron.core.transformer.transformer_layer import get_transformer_layer_offset

    offset, windows = get_transformer_layer_offset(config, virtual_stage), windows_of(hf_config)
    layers = []
    for index in range(get_num_layers_to_build(config, virtual_stage)):
        spec: ModuleSpec = get_gpt_layer_local_spec(
            num_experts=config.num_moe_experts, qk_layernorm=config.qk_layernorm, normalization="RMSNorm"
        )
        attention = spec.submodules.self_attention.submodules
        attention.core_attention = CoreAttention.factory(rotary, windows[offset + index])
        spec.submodules.input_layernorm = spec.submodules.pre_mlp_layernorm = Norm
        if config.qk_layernorm:
            attention.q_layernorm = attention.k_layernorm = Norm
        if config.num_moe_experts:
            moe.apply_to(spec.submodules)
        if sequence_parallel:
            apply_sequence_parallel(spec.submodules)
        layers.append(spec)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=Norm)


def _detach_padding(token: int, embeddings: nn.Module, inputs: tuple[Tensor], embedded: Tensor) -> Tensor:
    """Withhold the gradient of a token's embedding, as torch's `padding_idx` does; the token may also end turns in the rows."""
    return torch.where((inputs[0] == token).unsqueeze(-1), embedded.detach(), embedded)
