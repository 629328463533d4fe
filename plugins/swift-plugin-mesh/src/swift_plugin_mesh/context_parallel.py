"""Context parallelism in a transformers model: attention sees all tokens of some heads (`swift_train.context_parallel`).

An architecture may mix tokens outside attention too, as convolutions and state-space layers do, or transform its attention scores in a way
that is not implemented here. The model is therefore probed: the logits computed by all processes together must equal those of one process.

A loss that is a sum over tokens is computed by each process from its own tokens; any other from the gathered outputs of whole rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.adapters import takes_logits_to_keep
from swift_train.batches import Micro
from swift_train.causal_attention import attend_by_row, unsupported_argument
from swift_train.context_outputs import ShardedCall, pad_rows
from swift_train.context_parallel import attend_over_heads, shard_tokens
from swift_train.sharding import fsdp_modules
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.tasks import ForwardLoss
    from torch.nn import Module

_NAME = "swift_context"
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.1}
_HINT = "Use --parallel fsdp, or a mesh with tensor."


class ContextParallel:
    """This process's part of the tokens of a group, and the attention over all of them."""

    def __init__(self, group: dist.ProcessGroup, device: torch.device) -> None:
        self.group, self.part, self.parts, self.device = group, group.rank(), group.size(), device
        self.lengths: Sequence[int] = ()
        self.difference = 0.0  # of the logits from those of one process, relative to their standard deviation

    def install(self, module: Module, dtype: torch.dtype) -> None:
        """Make it the attention of a model whose passes run in `dtype`. Collective.

        Raises:
            UsageError: the model's logits differ from those with its own attention.
        """
        AttentionInterface.register(_NAME, self.attend)
        model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
        if (other := model.config._attn_implementation) not in ("eager", "sdpa", None):
            message = f"context parallelism replaces the attention of the model, which is '{other}'"
            raise UsageError(message, code="PARALLEL-077", where="parallel.context", hint="Use another tuner, or --parallel fsdp.")
        probe = _probe(model.config.get_text_config().vocab_size)
        expected = _logits(module, probe.to(self.device))
        model.set_attn_implementation(_NAME)
        part = shard_tokens(probe, self.part, self.parts)
        self.lengths = part.lengths
        begin = self.part * part.input_ids.shape[1]
        local = expected[begin : begin + part.input_ids.shape[1]]
        logits = _logits(module, part.to(self.device))[: len(local)]
        difference = ((logits - local).norm() / (expected - expected.mean()).norm().clamp_min(1e-12)).nan_to_num(torch.inf)
        dist.all_reduce(difference, dist.ReduceOp.MAX, group=self.group)
        self.difference = difference.item()
        if self.difference > _TOLERANCE[dtype]:
            message = f"{type(model).__name__} computes different logits with context parallelism (by {self.difference:.2g})"
            raise UsageError(message, code="PARALLEL-046", where="parallel.context", hint=_HINT)

    def of_tokens(self, micros: Sequence[Micro], task: ForwardLoss) -> tuple[list[Micro], ForwardLoss]:
        """Return this process's tokens of each micro-batch, and the task on them; its loss is a sum over tokens."""
        return [shard_tokens(micro, self.part, self.parts) for micro in micros], _TokenTask(task, self)

    def of_rows(self, micros: Sequence[Micro], task: ForwardLoss) -> tuple[list[Micro], ForwardLoss]:
        """Return the micro-batches, and the task: its forward pass runs on this process's tokens, its loss on the outputs of whole rows."""
        return [pad_rows(micro, self.parts) for micro in micros], _RowTask(task, self)

    @contextmanager
    def sharded_calls(self, model: Module) -> Iterator[None]:
        """Run calls of the model on this process's tokens, and gather their logits."""
        calls: list[ShardedCall] = []

        def before(module: Module, _: Any, arguments: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
            ids, positions = arguments["input_ids"], arguments.get("logits_to_keep")
            call = ShardedCall(ids.shape[1], positions, self.group)
            calls.append(call)
            tokens = {"input_ids": ids[:, call.tokens], "position_ids": arguments["position_ids"][..., call.tokens]}
            return (), {**arguments, **tokens, **({} if positions is None else {"logits_to_keep": call.positions})}

        def after(module: Module, _: Any, output: Any) -> Any:
            output.logits = calls.pop().gather(output.logits)
            return output

        with ExitStack() as stack:
            stack.callback(model.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(model.register_forward_hook(after).remove)
            yield

    def attend(  # noqa: PLR0917 (the signature is transformers')
        self,
        module: Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        sliding_window: int | None = None,
        **more: Any,
    ) -> tuple[Tensor, None]:
        """Implement transformers' attention interface: (1, heads, local tokens, size) of each → (1, local tokens, heads, size)."""
        if unsupported := unsupported_argument(more):
            message = f"context parallelism does not support the '{unsupported}' of {type(module).__name__}"
            raise UsageError(message, code="PARALLEL-047", where="parallel.context", hint=_HINT)
        dropout = dropout if module.training else 0.0

        def per_row(*states: Tensor) -> Tensor:
            query, key, value = (each[None] for each in states)
            return attend_by_row(query, key, value, self.lengths, window=sliding_window, scale=scaling, dropout=dropout)[0]

        return attend_over_heads(per_row, query[0], key[0], value[0], self.group).transpose(0, 1)[None], None


class _TokenTask:
    def __init__(self, task: ForwardLoss, context: ContextParallel) -> None:
        self._task, self._context = task, context
        self.loss = task.loss

    def forward(self, model: Module, micro: Micro) -> Tensor:
        self._context.lengths = micro.lengths
        return self._task.forward(model, micro)


class _RowTask:
    def __init__(self, task: ForwardLoss, context: ContextParallel) -> None:
        self._task, self._context = task, context

    def forward(self, model: Module, micro: Micro) -> Tensor:
        self._context.lengths = micro.lengths
        with self._context.sharded_calls(model):
            return self._task.forward(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        return self._task.loss(output, micro) / self._context.parts


def _probe(vocabulary: int) -> Micro:
    """Return two packed rows of distinct tokens."""
    lengths = (5, 14)
    ids = torch.arange(sum(lengths)) * 7 % (vocabulary - 1) + 1
    return Micro(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        positions=torch.arange(len(ids)),
        labels=ids,
        weights=torch.ones(len(ids)),
        rows=(0, 1),
        sequence=torch.repeat_interleave(torch.arange(2), torch.tensor(lengths)),
        sample=torch.arange(2),
        sample_weights=torch.ones(2),
    )


@torch.no_grad()
def _logits(module: Module, micro: Micro) -> Tensor:
    """(tokens, vocabulary), or the numbers of another head; float32."""
    module.eval()
    kept = {"logits_to_keep": torch.arange(micro.input_ids.shape[1], device=micro.input_ids.device)} if takes_logits_to_keep(module) else {}
    logits: Tensor = module(input_ids=micro.input_ids, position_ids=micro.position_ids, use_cache=False, **kept).logits[0].float()
    for part in fsdp_modules(module):
        part.reshard()
    return logits
