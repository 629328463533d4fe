"""Context parallelism in a model of transformers: its attention sees all tokens and some heads (`swift_train.context_parallel`).

An architecture may let tokens see one another elsewhere too, as convolutions and state-space layers do, or do something with its scores
that is not known here. So the model is asked: what all processes compute together must be what one computes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from swift_train.batches import Micro
from swift_train.causal_attention import causal_attention, unsupported_argument
from swift_train.context_parallel import attend_over_heads, shard_tokens
from swift_train.sharding import fsdp_modules
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from swift_core.errors import UsageError

if TYPE_CHECKING:
    from swift_train.tasks import LossTask
    from torch.nn import Module

_NAME = "swift_context"
_FAR = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.1}
_HINT = "Use --parallel fsdp, or a mesh with tensor."


class Context:
    """The tokens of this process among those of a group, and the attention that goes with them."""

    def __init__(self, group: dist.ProcessGroup, device: torch.device) -> None:
        self.group, self.part, self.parts, self.device = group, group.rank(), group.size(), device
        self.lengths: Sequence[int] = ()
        self.difference = 0.0  # of the logits from those of one process, as a part of their spread

    def install(self, module: Module, dtype: torch.dtype) -> None:
        """Make it the attention of a model whose passes are computed in `dtype`. Collective.

        Raises:
            UsageError: the model computes something else with it than with its own.
        """
        AttentionInterface.register(_NAME, self.attend)
        model: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
        probe = _probe(model.config.get_text_config().vocab_size)
        own = _logits(module, probe.to(self.device))
        model.set_attn_implementation(_NAME)
        part = shard_tokens(probe, self.part, self.parts)
        self.lengths = part.lengths
        begin = self.part * part.input_ids.shape[1]
        theirs = own[begin : begin + part.input_ids.shape[1]]
        ours = _logits(module, part.to(self.device))[: len(theirs)]
        far = ((ours - theirs).norm() / (own - own.mean()).norm().clamp_min(1e-12)).nan_to_num(torch.inf)
        dist.all_reduce(far, dist.ReduceOp.MAX, group=self.group)
        self.difference = far.item()
        if self.difference > _FAR[dtype]:
            message = f"{type(model).__name__} computes something else when its tokens are cut over processes (by {self.difference:.2g})"
            raise UsageError(message, where="parallel.context", hint=_HINT)

    def task(self, task: LossTask) -> LossTask:
        """A task whose forward pass is one of this part of the tokens."""
        return _OfPart(task, self)  # type: ignore[return-value]

    def cut(self, micros: Sequence[Micro]) -> list[Micro]:
        """This process's tokens of each."""
        return [shard_tokens(micro, self.part, self.parts) for micro in micros]

    def attend(  # noqa: PLR0917 (transformers calls it so)
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
        """transformers' attention interface: (1, heads, tokens of this part, size) of each → (1, tokens, heads, size)."""
        if found := unsupported_argument(more):
            message = f"{type(module).__name__} has '{found}', which is not computed here with tokens that are cut"
            raise UsageError(message, where="parallel.context", hint=_HINT)
        options = {"window": sliding_window, "scale": scaling, "dropout": dropout if module.training else 0.0}

        def rows(*states: Tensor) -> Tensor:
            parts = zip(*(each[None].split(list(self.lengths), 2) for each in states), strict=True)
            return torch.cat([causal_attention(*part, **options) for part in parts], 2)[0]

        return attend_over_heads(rows, query[0], key[0], value[0], self.group).transpose(0, 1)[None], None


class _OfPart:
    def __init__(self, task: LossTask, context: Context) -> None:
        self._task, self._context = task, context
        self.loss = task.loss

    def forward(self, model: Module, micro: Micro) -> Tensor:
        self._context.lengths = micro.lengths
        return self._task.forward(model, micro)


def _probe(vocabulary: int) -> Micro:
    """Two rows of tokens that differ."""
    lengths = (5, 14)
    ids = torch.arange(sum(lengths)) * 7 % (vocabulary - 1) + 1
    return Micro(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        positions=torch.arange(len(ids)),
        labels=ids,
        weights=torch.ones(len(ids)),
        rows=(0, 1),
    )


@torch.no_grad()
def _logits(module: Module, micro: Micro) -> Tensor:
    """(tokens, vocabulary), float32."""
    module.eval()
    logits: Tensor = module(input_ids=micro.input_ids, position_ids=micro.position_ids, use_cache=False).logits[0].float()
    for part in fsdp_modules(module):
        part.reshard()
    return logits
