"""Parallel sizes and rank numbering, as plain arithmetic without torch, so that a run can be checked before anything is loaded.

The order of ranks is megatron-core's: tensor ranks are adjacent, followed by context, data and pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problem

if TYPE_CHECKING:
    from swift_plugin_megatron.options import MegatronOptions


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of each kind of parallelism."""

    processes: int
    tensor: int
    pipeline: int
    context: int = 1
    expert: int = 1
    chunks: int = 1
    sequence: bool = False
    first_layers: int | None = None
    last_layers: int | None = None

    @property
    def replicas(self) -> int:
        """Number of processes with the same shard of the model: data × context."""
        return self.processes // (self.tensor * self.pipeline)

    @property
    def data(self) -> int:
        """Data-parallel size: groups that the rows of a step are divided among."""
        return self.replicas // self.context

    @property
    def sequence_shards(self) -> int:
        """Number of shards of a process's tokens between layers."""
        return self.tensor if self.sequence else 1

    @property
    def stages(self) -> int:
        """Number of pipeline stages, assigned to the processes of a pipeline round-robin."""
        return self.pipeline * self.chunks

    def data_rank(self, rank: int) -> int:
        """Return the data-parallel rank of a process."""
        return rank // (self.tensor * self.context) % self.data


def sizes_of(options: MegatronOptions, processes: int) -> Sizes:
    """Return the sizes of a run; check them with `size_problems` first."""
    return Sizes(
        processes, options.tensor, options.pipeline, options.context, options.expert, options.chunks, sequence=options.sequence,
        first_layers=options.first_stage_layers, last_layers=options.last_stage_layers,
    )  # fmt: skip


def stage_lengths(layers: int, stages: int, first: int | None = None, last: int | None = None) -> list[int]:
    """Return the number of layers of each pipeline stage; empty if those that `first` and `last` leave can't be divided evenly."""
    given = [length for length in (first, last) if length]
    others, left = stages - len(given), layers - sum(given)
    if others < 0 or left < others or (left % others if others else left):
        return []
    return [*([first] if first else []), *([left // others] * others if others else []), *([last] if last else [])]


def size_problems(options: MegatronOptions, processes: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield each size that does not divide what it shards, with the sizes that do.

    Args:
        config: the model's `config.json`; empty to check the number of processes only.
    """
    heads = int(config.get("num_attention_heads") or 0)
    keys = int(config.get("num_key_value_heads") or heads)
    layers = int(config.get("num_hidden_layers") or 0)
    width = int(config.get("shared_expert_intermediate_size" if _expert_count(config) else "intermediate_size") or 0)
    yield from _division_problem("tensor", options.tensor, {"attention heads": heads, "key-value heads": keys, "MLP columns": width})
    uneven = [name for name in ("first_stage_layers", "last_stage_layers") if getattr(options, name)]
    if uneven:
        yield from _stage_problems(options, uneven[0], layers)
    else:
        yield from _division_problem("pipeline", options.pipeline, {"layers": layers})
    if options.chunks > 1 and options.pipeline == 1:
        message = "interleaved stages require pipeline parallelism"
        yield Problem(
            code="PARALLEL-029", where="parallel.chunks", message=message, hint="Omit --parallel.chunks, or add --parallel.pipeline 2."
        )
    elif not uneven and layers % options.pipeline == 0:
        yield from _division_problem(
            "chunks", options.chunks, {f"layers of each of {options.pipeline} processes": layers // options.pipeline}
        )
    if heads % options.tensor == 0:
        yield from _division_problem("context", options.context, {"attention heads of a process": heads // options.tensor})
    if options.sequence and options.tensor == 1:
        message = "sequence parallelism requires tensor parallelism"
        hint = "Omit --parallel.sequence, or add --parallel.tensor 2; --parallel.context shards tokens without tensor parallelism."
        yield Problem(code="PARALLEL-030", where="parallel.sequence", message=message, hint=hint)
    if processes % (options.tensor * options.context * options.pipeline):
        context = options.context if processes % options.context == 0 else 1
        valid = [
            _format(t, context, p)
            for t, p in _divisor_pairs(processes // context)
            if not (heads % (t * context) or keys % t or width % t or layers % p)
        ]
        message = f"{_format(options.tensor, options.context, options.pipeline)} does not divide {processes} processes"
        yield Problem(code="PARALLEL-031", where="parallel", message=message, hint=f"Choose one of: {'; '.join(valid)}.")
    elif options.expert > 1 and config:
        yield from _expert_problems(options, processes // options.pipeline, config)
    if options.tensor > 1 and _expert_count(config) and not options.sequence:
        message = "experts are not sharded, so without sequence parallelism all tensor-parallel processes would compute the same tokens"
        yield Problem(code="PARALLEL-032", where="parallel.tensor", message=message, hint="Add --parallel.sequence.")


def _stage_problems(options: MegatronOptions, name: str, layers: int) -> Iterator[Problem]:
    """Yield why the first and the last stage can't have these layers: one stage, interleaved ones, or a rest that does not divide."""
    where = f"parallel.{name}"
    if options.pipeline == 1:
        hint = "Leave it out, or add --parallel.pipeline 2."
        yield Problem(code="PARALLEL-073", where=where, message="one stage has all layers", hint=hint)
    elif options.chunks > 1:
        message = "interleaved stages have equally many layers"
        yield Problem(code="PARALLEL-074", where=where, message=message, hint="Leave --parallel.chunks out.")
    elif layers and not stage_lengths(layers, options.pipeline, options.first_stage_layers, options.last_stage_layers):
        ends = [length for length in (options.first_stage_layers, options.last_stage_layers) if length]
        message = (
            f"{layers} layers without {' and '.join(map(str, ends))} can't be divided among {options.pipeline - len(ends)} other stages"
        )
        yield Problem(code="PARALLEL-075", where=where, message=message, hint="Choose a number that leaves a multiple of the other stages.")


def _expert_problems(options: MegatronOptions, processes: int, config: Mapping[str, Any]) -> Iterator[Problem]:
    experts = _expert_count(config)
    if not experts:
        yield Problem(code="PARALLEL-033", where="parallel.expert", message="the model has no experts", hint="Omit --parallel.expert.")
    elif processes % options.expert or experts % options.expert:
        valid = [str(size) for size in range(1, processes + 1) if not (processes % size or experts % size)]
        message = f"expert {options.expert} does not divide both {experts} experts and a stage's {processes} processes"
        yield Problem(code="PARALLEL-034", where="parallel.expert", message=message, hint=f"Choose one of: {', '.join(valid)}.")


def _expert_count(config: Mapping[str, Any]) -> int:
    return int(config.get("num_experts") or config.get("num_local_experts") or 0)


def _division_problem(name: str, size: int, counts: Mapping[str, int]) -> Iterator[Problem]:
    """Yield a problem for the first count that the size does not divide."""
    for what, count in counts.items():
        if count % size:
            valid = [number for number in range(1, min(count, 64) + 1) if not any(other % number for other in counts.values())]
            hint = f"Choose one of: {', '.join(map(str, valid))}."
            yield Problem(code="PARALLEL-035", where=f"parallel.{name}", message=f"{name} {size} does not divide {count} {what}", hint=hint)
            return


def _format(tensor: int, context: int, pipeline: int) -> str:
    return " × ".join([f"tensor {tensor}", *([f"context {context}"] if context > 1 else []), f"pipeline {pipeline}"])


def _divisor_pairs(processes: int) -> list[tuple[int, int]]:
    """Pairs of sizes whose product divides the number of processes."""
    numbers = range(1, processes + 1)
    return [(tensor, pipeline) for tensor in numbers for pipeline in numbers if processes % (tensor * pipeline) == 0]
