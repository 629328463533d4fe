"""The blocks of a model: cut it to a few, and tell from two numbers of blocks what the whole has.

Every block of a kind needs the same memory and arithmetic, so that both grow linearly in their number. Kinds may alternate (sliding and
full attention), after some first ones of another kind (dense layers before experts): `counts` finds such a period.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import Module, ModuleList

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_PERIOD = 12


def block_list(module: Module, path: str) -> tuple[Module, str, ModuleList] | None:
    """Return the list of blocks with its parent and name: at `path`, else the longest list of modules; None if there is none."""
    lists = [(name, part) for name, part in module.named_modules() if isinstance(part, ModuleList) and len(part) > 1]
    at = [(name, part) for name, part in lists if name == path or name.endswith(f".{path}")]
    found = max(at or lists, key=lambda item: sum(weight.numel() for weight in item[1].parameters()), default=None)
    if found is None:
        return None
    parent, _, name = found[0].rpartition(".")
    return module.get_submodule(parent), name, found[1]


def counts(blocks: Sequence[Module], config: Any) -> tuple[int, int] | None:
    """Return two numbers of blocks from which the whole follows linearly; None if it must be built whole."""
    kinds = [_kind(block, index, config) for index, block in enumerate(blocks)]
    whole = len(kinds)
    for period in range(1, _MOST_PERIOD + 1):
        for first in range(_MOST_PERIOD):
            if all(kinds[index] == kinds[index - period] for index in range(first + period, whole)):
                fewer = first + 2 * period
                return (fewer, fewer + period) if fewer + period < whole else None
    return None


def cut(module: Module, path: str, number: int) -> None:
    """Keep the first blocks only."""
    found = block_list(module, path)
    assert found is not None
    parent, name, blocks = found
    config: Any = getattr(module, "config", None)
    text = config.get_text_config() if config is not None else None
    whole = len(blocks)
    setattr(parent, name, ModuleList(list(blocks)[:number]))
    if text is not None:
        for key, value in list(vars(text).items()):
            if isinstance(value, list) and len(value) == whole:
                setattr(text, key, value[:number])
        text.num_hidden_layers = number


def _kind(block: Module, index: int, config: Any) -> tuple[Any, ...]:
    listed = [
        value[index] for value in vars(config).values() if isinstance(value, list) and len(value) > index and isinstance(value[0], str)
    ]
    weights = tuple((name, tuple(weight.shape), str(weight.dtype)) for name, weight in block.named_parameters())
    return (type(block).__name__, tuple(type(part).__name__ for part in block.modules()), weights, tuple(listed))
