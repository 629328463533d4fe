"""How much a message's tokens count in the loss: `loss`, `loss_scale`, `loss_weight` and `weight` are spellings of one number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from swift_core.rows.values import Wrong, kind_of

NAMES = ("loss", "loss_scale", "loss_weight", "weight")


def loss_scale_of(item: Mapping[str, Any], role: str, path: str) -> float:
    """The factor on a message's loss: 1.0 where nothing is said, 0.0 where it is not learned."""
    given = {name: _number(item[name], name, f"{path}.{name}") for name in NAMES if item.get(name) is not None}
    scales = {value for name, value in given.items() if name != "loss"}
    learned = given.get("loss")
    if len(scales) > 1 or (learned is not None and any((value > 0) != (learned > 0) for value in scales)):
        first, second = next(iter(given)), list(given)[-1]
        raise Wrong(f"{path}.{second}", f"contradicts '{first}': {item[second]!r} and {item[first]!r}", "Keep one of them.")
    scale = scales.pop() if scales else (1.0 if learned is None else learned)
    if given and scale > 0 and role not in ("assistant", "call"):
        raise Wrong(f"{path}.{next(iter(given))}", f"a {role} message can't be learned: only what the assistant says can be", "Remove it.")
    return scale


def _number(value: Any, name: str, path: str) -> float:
    if name == "loss":
        if not isinstance(value, bool):
            raise Wrong(path, f"must be true or false, not {kind_of(value)}", "A factor on the loss is called loss_scale.")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        kind = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else kind_of(value)
        raise Wrong(path, f"must be a number from 0 up, not {kind}", "0 is not learned, 1 is the usual.")
    return float(value)
