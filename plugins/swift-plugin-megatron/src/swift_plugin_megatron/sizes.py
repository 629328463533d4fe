"""How processes are numbered and what divides what, as arithmetic: no torch, so that the check can ask before anything is loaded.

The order is megatron-core's own: neighbours share a layer (tensor), then come the copies (data), then the stages (pipeline).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.specs import Problem

if TYPE_CHECKING:
    from swift_plugin_megatron.options import MegatronOptions


@dataclass(frozen=True, slots=True)
class Sizes:
    """Into how many parts each thing is cut."""

    processes: int
    tensor: int
    pipeline: int
    expert: int = 1
    chunks: int = 1

    @property
    def data(self) -> int:
        """Copies of the model."""
        return self.processes // (self.tensor * self.pipeline)

    @property
    def stages(self) -> int:
        """Stages of the pipeline: process 0 has the first, and so on round and round."""
        return self.pipeline * self.chunks

    def data_rank(self, rank: int) -> int:
        """Which copy a process belongs to."""
        return rank // self.tensor % self.data


def sizes_of(options: MegatronOptions, processes: int) -> Sizes:
    """The sizes of a run; ask `misfits` first."""
    return Sizes(processes, options.tensor, options.pipeline, options.expert, options.chunks)


def misfits(options: MegatronOptions, processes: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Sizes that don't divide, with those that would.

    Args:
        config: the model's `config.json`.
    """
    heads = int(config.get("num_attention_heads") or 0)
    keys = int(config.get("num_key_value_heads") or heads)
    layers, wide = int(config.get("num_hidden_layers") or 0), int(config.get("intermediate_size") or 0)
    yield from _divides("tensor", options.tensor, {"attention heads": heads, "key-value heads": keys, "columns of the MLP": wide})
    yield from _divides("pipeline", options.pipeline, {"layers": layers})
    if options.chunks > 1 and options.pipeline == 1:
        message = "one process has all layers: there is nothing to interleave"
        yield Problem(where="parallel.chunks", message=message, hint="Leave --parallel.chunks out, or use --parallel.pipeline 2.")
    elif layers % options.pipeline == 0:
        yield from _divides("chunks", options.chunks, {f"layers of each of {options.pipeline} processes": layers // options.pipeline})
    if processes % (options.tensor * options.pipeline):
        parts = f"{options.tensor} (tensor) × {options.pipeline} (pipeline)"
        message = f"{processes} processes can't be cut into {parts}"
        fit = [f"tensor {t}, pipeline {p}" for t, p in _pairs(processes) if not (heads % t or keys % t or wide % t or layers % p)]
        yield Problem(where="parallel", message=message, hint=f"Sizes that fit: {'; '.join(fit)}.")
    elif options.expert > 1 and config:
        yield from _experts(options, processes // (options.tensor * options.pipeline), config)
    if options.tensor > 1 and _experts_of(config):
        message = (
            "megatron-core cuts the layers of a mixture only where it cuts the tokens too (sequence parallelism), and that on CUDA alone"
        )
        yield Problem(where="parallel.tensor", message=message, hint="Use --parallel.expert and --parallel.pipeline.")


def _experts(options: MegatronOptions, copies: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    experts = _experts_of(config)
    if not experts:
        yield Problem(where="parallel.expert", message="the model has no experts to deal out", hint="Leave --parallel.expert out.")
    elif copies % options.expert or experts % options.expert:
        fit = [str(number) for number in range(1, copies + 1) if not (copies % number or experts % number)]
        message = f"{experts} experts can't be dealt out over {options.expert} of {copies} copies"
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


def _pairs(processes: int) -> list[tuple[int, int]]:
    """Sizes whose product divides the processes."""
    numbers = range(1, processes + 1)
    return [(tensor, pipeline) for tensor in numbers for pipeline in numbers if processes % (tensor * pipeline) == 0]
