"""Loss weights of messages: a factor (`loss_scale`, `weight`, …) or a flag (`loss`, `train`, …).

Tools use various names; names that mean opposite things in different tools are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from swift_data.rows.values import Wrong, kind_of

FACTORS = ("loss_scale", "loss_weight", "loss_multiplier", "weight")
FLAGS: Mapping[str, bool] = {  # → the value that means "supervised"
    **dict.fromkeys(("loss", "train", "training", "trainable", "train_on_turn", "supervised"), True),
    **dict.fromkeys(("masked", "is_masked"), False),
}
NAMES = ("loss", *FACTORS, *(name for name in FLAGS if name != "loss"))
UNCLEAR = ("mask", "loss_mask", "train_mask", "completion_mask", "assistant_mask", "assistant_masks", "train_detail", "training_detail")


def loss_scale_of(item: Mapping[str, Any], role: str, path: str) -> float:
    """Return the factor on a message's loss: 1.0 by default, 0.0 if the message is not supervised.

    Raises:
        Wrong: the value is invalid, two fields contradict each other, or a message other than the assistant's is to be supervised.
    """
    refuse_unclear(item, path)
    given = {name: _number(item[name], name, f"{path}.{name}") for name in NAMES if item.get(name) is not None}
    factors = {value for name, value in given.items() if name not in FLAGS}
    flags = {value for name, value in given.items() if name in FLAGS}
    if len(factors) > 1 or len(flags) > 1 or any((factor > 0) != (flag > 0) for factor in factors for flag in flags):
        first, second = next(iter(given)), list(given)[-1]
        raise Wrong(
            f"{path}.{second}", f"contradicts '{first}': {item[second]!r} and {item[first]!r}", "Keep one of them.", code="DATA-049"
        )
    scale = next(iter(factors or flags), 1.0)
    if given and scale > 0 and role not in ("assistant", "call"):
        raise Wrong(
            f"{path}.{next(iter(given))}",
            f"a {role} message can't be supervised, only assistant messages can",
            "Remove it.",
            code="DATA-050",
        )
    return scale


def refuse_unclear(item: Mapping[str, Any], path: str) -> None:
    """Refuse loss mask fields that tools interpret differently.

    Raises:
        Wrong: such a field has a value.
    """
    for name in UNCLEAR:
        if item.get(name) not in (None, "", [], ()):
            raise Wrong(
                f"{path}.{name}",
                f"'{name}' is ambiguous: tools disagree on which value means supervised",
                'Write "loss": true or false in each assistant message instead, and remove this field.',
                code="DATA-051",
            )


def _number(value: Any, name: str, path: str) -> float:
    if name in FLAGS:
        if not isinstance(value, bool):
            raise Wrong(path, f"must be true or false, not {kind_of(value)}", "To scale the loss, use loss_scale.", code="DATA-024")
        return float(value is FLAGS[name])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        kind = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else kind_of(value)
        raise Wrong(path, f"must be a number >= 0, not {kind}", "0 means not supervised, 1 is the default.", code="DATA-052")
    return float(value)
