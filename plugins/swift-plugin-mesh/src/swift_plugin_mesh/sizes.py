"""Valid mesh sizes: their product is the number of processes, and each divides what it shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problem

if TYPE_CHECKING:
    from swift_plugin_mesh.options import MeshOptions

# what tensor parallelism shards: attention by heads, the feed-forward part by its width
_SHARDED = {"num_attention_heads": "attention heads", "num_key_value_heads": "key-value heads", "intermediate_size": "feed-forward width"}


def data_size(options: MeshOptions, processes: int) -> int:
    """Return the data-parallel size; 0 if no size makes the mesh fit the number of processes."""
    quotient, remainder = divmod(processes, prod(size for _, size in _model_sizes(options)))
    return 0 if remainder or options.data not in (None, quotient) else quotient


def size_problems(options: MeshOptions, processes: int) -> Iterator[Problem]:
    """Yield a problem if the mesh does not fit the number of processes, or combines unsupported dimensions."""
    if options.pipeline > 1 and options.context > 1:
        message = "a mesh can't combine context and pipeline parallelism"
        yield Problem(
            code="PARALLEL-049", where="parallel.pipeline", message=message, hint="Leave one of them out, or use --parallel megatron."
        )
        return
    if data_size(options, processes):
        return
    sizes = {name: size for name, size in _model_sizes(options) if size > 1} or {"tensor": 1}
    requested = _format({"data": options.data, **sizes} if options.data else sizes)
    divisors = [size for size in range(1, processes + 1) if processes % size == 0]
    valid = [others for others in product(divisors, repeat=len(sizes)) if processes % prod(others) == 0]
    near = [others for others in valid if others[:-1] == tuple(sizes.values())[:-1]] or valid
    hints = (_format({"data": processes // prod(others), **dict(zip(sizes, others, strict=True))}) for others in near)
    where = "parallel.data" if options.data else "parallel"
    message = f"a mesh of {requested} does not fit {processes} process{'es' if processes > 1 else ''}"
    yield Problem(code="PARALLEL-050", where=where, message=message, hint=f"Use {' or '.join(hints)}; or change --processes.")


def _format(sizes: Mapping[str, int]) -> str:
    return " × ".join(f"{name} {size}" for name, size in sizes.items())


def _model_sizes(options: MeshOptions) -> list[tuple[str, int]]:
    """The dimensions whose processes share the same rows, with their sizes."""
    return [(name, getattr(options, name)) for name in ("context", "tensor", "pipeline")]


def model_problems(options: MeshOptions, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield each size that does not divide what it shards.

    Args:
        config: the model's `config.json`.
    """
    text = {**config, **config.get("text_config", {})}
    sizes = {key: text[key] for key in _SHARDED if isinstance(text.get(key), int)}
    for key, size in sizes.items():
        if size % options.tensor:
            message = f"tensor {options.tensor} does not divide the model's {_SHARDED[key]}, {size}"
            valid = _valid(lambda parts: not any(other % parts for other in sizes.values()), min(sizes.values()))
            yield Problem(code="PARALLEL-051", where="parallel.tensor", message=message, hint=f"Choose one of: {valid}.")
            break
    heads = text.get("num_attention_heads", 0) // options.tensor
    if isinstance(heads, int) and heads % options.context:
        message = f"context {options.context} does not divide the {heads} attention heads of a process"
        valid = _valid(lambda parts: heads % parts == 0, heads)
        yield Problem(code="PARALLEL-052", where="parallel.context", message=message, hint=f"Choose one of: {valid}.")
    layers = text.get("num_hidden_layers")
    if isinstance(layers, int) and layers % options.pipeline:
        message = f"pipeline {options.pipeline} does not divide the model's {layers} blocks"
        valid = _valid(lambda parts: layers % parts == 0, layers)
        yield Problem(code="PARALLEL-053", where="parallel.pipeline", message=message, hint=f"Choose one of: {valid}.")


def _valid(divides: Callable[[int], bool], maximum: int) -> str:
    return ", ".join(str(parts) for parts in range(1, maximum + 1) if divides(parts))
