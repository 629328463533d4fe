"""Which sizes a mesh may have: as many processes as there are, and parts that come out even."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from swift_core.specs import Problem

if TYPE_CHECKING:
    from swift_plugin_mesh.options import MeshOptions

# what tensor parallelism cuts: attention by heads, the feed-forward part by its width
_CUT = {"num_attention_heads": "attention heads", "num_key_value_heads": "key-value heads", "intermediate_size": "feed-forward width"}


def data_size(options: MeshOptions, processes: int) -> int:
    """Into how many parts the rows are cut; 0 where no number makes the mesh as large as the processes are many."""
    rest, left = divmod(processes, prod(size for _, size in _shares(options)))
    return 0 if left or options.data not in (None, rest) else rest


def misfits(options: MeshOptions, processes: int) -> Iterator[Problem]:
    """A mesh of another size than the processes, or of dimensions that don't go together."""
    if options.pipeline > 1 and options.context > 1:
        message = "a mesh has either context or pipeline parallelism here"
        yield Problem(where="parallel.pipeline", message=message, hint="Leave one of them out, or use --parallel megatron.")
        return
    if data_size(options, processes):
        return
    shares = {name: size for name, size in _shares(options) if size > 1} or {"tensor": 1}
    asked = _shown({"data": options.data, **shares} if options.data else shares)
    divisors = [size for size in range(1, processes + 1) if processes % size == 0]
    fit = [sizes for sizes in product(divisors, repeat=len(shares)) if processes % prod(sizes) == 0]
    near = [sizes for sizes in fit if sizes[:-1] == tuple(shares.values())[:-1]] or fit
    hints = (_shown({"data": processes // prod(sizes), **dict(zip(shares, sizes, strict=True))}) for sizes in near)
    where = "parallel.data" if options.data else "parallel"
    message = f"{processes} process{'es' if processes > 1 else ''} can't be a mesh of {asked}"
    yield Problem(where=where, message=message, hint=f"Sizes that fit: {', '.join(hints)}; or give other --processes.")


def _shown(sizes: Mapping[str, int]) -> str:
    return " × ".join(f"{name} {size}" for name, size in sizes.items())


def _shares(options: MeshOptions) -> list[tuple[str, int]]:
    """The dimensions whose processes have the same rows."""
    return [(name, getattr(options, name)) for name in ("context", "tensor", "pipeline")]


def uneven(options: MeshOptions, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Parts of a model, by its `config.json`, that would not come out even."""
    text = {**config, **config.get("text_config", {})}
    sizes = {key: text[key] for key in _CUT if isinstance(text.get(key), int)}
    for key, size in sizes.items():
        if size % options.tensor:
            message = f"the model's {_CUT[key]}, {size}, can't be cut into {options.tensor} equal parts"
            fit = _fitting(lambda parts: not any(other % parts for other in sizes.values()), min(sizes.values()))
            yield Problem(where="parallel.tensor", message=message, hint=f"Sizes that fit: {fit}.")
            break
    heads = text.get("num_attention_heads", 0) // options.tensor
    if isinstance(heads, int) and heads % options.context:
        message = f"the {heads} attention heads of a process can't be dealt out to {options.context} parts of the tokens evenly"
        fit = _fitting(lambda parts: heads % parts == 0, heads)
        yield Problem(where="parallel.context", message=message, hint=f"Sizes that fit: {fit}.")
    layers = text.get("num_hidden_layers")
    if isinstance(layers, int) and layers % options.pipeline:
        message = f"the model's {layers} blocks can't be dealt out to {options.pipeline} stages evenly"
        fit = _fitting(lambda parts: layers % parts == 0, layers)
        yield Problem(where="parallel.pipeline", message=message, hint=f"Sizes that fit: {fit}.")


def _fitting(fits: Callable[[int], bool], most: int) -> str:
    return ", ".join(str(parts) for parts in range(1, most + 1) if fits(parts))
