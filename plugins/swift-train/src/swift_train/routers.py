"""The routers of a mixture of experts: found by their place beside the experts, and by their shape."""

from __future__ import annotations

from typing import Any


def router_weights(model: Any) -> set[str]:
    """Return the names of the routers' parameters of a transformers model: a weight with a row for each expert, and what is beside it.

    A router is a sibling of the module `experts`, or is named so; a gate of a shared expert, which has one row, is none.
    """
    found: set[str] = set()
    for path, block in model.named_modules():
        children = dict(block.named_children())
        count = _count(children["experts"]) if "experts" in children else 0
        for name, child in children.items():
            if name == "experts" or not (count or name == "router"):
                continue
            own = dict(child.named_parameters(prefix=f"{path}.{name}".lstrip(".")))
            rows = {weight.shape[0] for weight in own.values() if weight.dim() == 2}
            if rows == {count} if count else len(rows) == 1:
                found |= own.keys()
    return found


def _count(experts: Any) -> int:
    """Return the number of experts: of a list of modules, or of stacked weights."""
    if hasattr(experts, "num_experts"):
        return int(experts.num_experts)
    stacked = [weight.shape[0] for weight in experts.parameters() if weight.dim() == 3]
    return int(stacked[0]) if stacked else len(list(experts.children()))
