"""How processes are numbered and what divides what, as arithmetic: no torch, so that the check can ask before anything is loaded.

The order is megatron-core's own: neighbours share a layer (tensor), then come those that share rows (context), then the copies (data),
then the stages (pipeline).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.contract.specs import Problem

if TYPE_CHECKING:
    from swift_plugin_megatron.options import MegatronOptions


@dataclass(frozen=True, slots=True)
class Sizes:
    """Into how many parts each thing is cut."""

    processes: int
    tensor: int
    pipeline: int
    context: int = 1
    expert: int = 1
    chunks: int = 1
    sequence: bool = False

    @property
    def copies(self) -> int:
        """Copies of the model."""
        return self.processes // (self.tensor * self.pipeline)

    @property
    def data(self) -> int:
        """Into how many parts the rows of a step are cut."""
        return self.copies // self.context

    @property
    def between(self) -> int:
        """Into how many parts the tokens of a process are cut between the parts of a layer."""
        return self.tensor if self.sequence else 1

    @property
    def stages(self) -> int:
        """Stages of the pipeline: process 0 has the first, and so on round and round."""
        return self.pipeline * self.chunks

    def data_rank(self, rank: int) -> int:
        """Which part of the rows is a process's."""
        return rank // (self.tensor * self.context) % self.data


def sizes_of(options: MegatronOptions, processes: int) -> Sizes:
    """The sizes of a run; ask `misfits` first."""
    return Sizes(processes, options.tensor, options.pipeline, options.context, options.expert, options.chunks, sequence=options.sequence)


def misfits(options: MegatronOptions, processes: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Sizes that don't divide, with those that would.

    Args:
        config: the model's `config.json`.
    """
    heads = int(config.get("num_attention_heads") or 0)
    keys = int(config.get("num_key_value_heads") or heads)
    layers = int(config.get("num_hidden_layers") or 0)
    wide = int(config.get("shared_expert_intermediate_size" if _experts_of(config) else "intermediate_size") or 0)
    yield from _divides("tensor", options.tensor, {"attention heads": heads, "key-value heads": keys, "columns of the MLP": wide})
    yield from _divides("pipeline", options.pipeline, {"layers": layers})
    if options.chunks > 1 and options.pipeline == 1:
        message = "one process has all layers: there is nothing to interleave"
        yield Problem(where="parallel.chunks", message=message, hint="Leave --parallel.chunks out, or use --parallel.pipeline 2.")
    elif layers % options.pipeline == 0:
        yield from _divides("chunks", options.chunks, {f"layers of each of {options.pipeline} processes": layers // options.pipeline})
    if heads % options.tensor == 0:
        yield from _divides("context", options.context, {"attention heads of a process": heads // options.tensor})
    if options.sequence and options.tensor == 1:
        message = "no processes share a layer, over which tokens could be cut between its parts"
        hint = "Leave --parallel.sequence out, or use --parallel.tensor 2; --parallel.context cuts the tokens without."
        yield Problem(where="parallel.sequence", message=message, hint=hint)
    if processes % (options.tensor * options.context * options.pipeline):
        context = options.context if processes % options.context == 0 else 1
        fit = [
            _product(t, context, p)
            for t, p in _pairs(processes // context)
            if not (heads % (t * context) or keys % t or wide % t or layers % p)
        ]
        message = f"{processes} processes can't be cut into {_product(options.tensor, options.context, options.pipeline)}"
        yield Problem(where="parallel", message=message, hint=f"Sizes that fit: {'; '.join(fit)}.")
    elif options.expert > 1 and config:
        yield from _experts(options, processes // options.pipeline, config)
    if options.tensor > 1 and _experts_of(config) and not options.sequence:
        message = "experts are whole, so those of processes that share a layer would compute the same tokens"
        yield Problem(where="parallel.tensor", message=message, hint="Add --parallel.sequence.")


def _experts(options: MegatronOptions, count: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    experts = _experts_of(config)
    if not experts:
        yield Problem(where="parallel.expert", message="the model has no experts to deal out", hint="Leave --parallel.expert out.")
    elif count % options.expert or experts % options.expert:
        fit = [str(number) for number in range(1, count + 1) if not (count % number or experts % number)]
        message = f"{experts} experts can't be dealt out over {options.expert} of a stage's {count} processes"
        yield Problem(where="parallel.expert", message=message, hint=f"Sizes that fit: {', '.join(fit)}.")


def _experts_of(config: Mapping[str, Any]) -> int:
    return int(config.get("num_experts") or config.get("num_local_experts") or 0)


def _divides(name: str, size: int, things: Mapping[str, int]) -> Iterator[Problem]:
    for what, count in things.items():
        if count % size:
            fit = [number for number in range(1, min(count, 64) + 1) if not any(other % number for other in things.values())]
            hint = f"Sizes that fit: {', '.join(map(str, fit))}."
            yield Problem(where=f"parallel.{name}", message=f"{count} {what} can't be cut into {size} parts", hint=hint)
            return


def _product(tensor: int, context: int, pipeline: int) -> str:
    return " × ".join([f"tensor {tensor}", *([f"context {context}"] if context > 1 else []), f"pipeline {pipeline}"])


def _pairs(processes: int) -> list[tuple[int, int]]:
    """Sizes whose product divides the processes."""
    numbers = range(1, processes + 1)
    return [(tensor, pipeline) for tensor in numbers for pipeline in numbers if processes % (tensor * pipeline) == 0]
