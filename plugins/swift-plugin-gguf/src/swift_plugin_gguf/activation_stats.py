"""What goes into each weight of a model while it reads: sums of squares a column, and how many tokens there were, expert by expert."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FUSED = re.compile(r"^(?P<before>.*\.experts)\.(?P<part>gate_up_proj|down_proj)$")
_LINEAR = torch.nn.functional.linear


class ActivationStats(TorchFunctionMode):
    """A context in which every product with a weight of `model` is watched.

    Args:
        model: on its device; its experts compute one by one (`eager`), so that each product is one expert's.
        name_of: GGUF's name of a weight, by the model's own; None for what has no place in a file.
    """

    def __init__(self, model: torch.nn.Module, name_of: Callable[[str], str | None]) -> None:
        super().__init__()
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, torch.Tensor] = {}
        self._places: dict[int, tuple[tuple[str, ...], int]] = {}
        for parameter, experts, names in _matrices(model):
            known = tuple(name for name in map(name_of, names) if name)
            for name in known:
                self.sums[name] = torch.zeros(experts, parameter.shape[-1], device=parameter.device)
                self.counts[name] = torch.zeros(experts, device=parameter.device)
            for expert in range(experts if known else 0):
                matrix = parameter[expert] if parameter.ndim == 3 else parameter
                self._places[matrix.data_ptr()] = known, expert

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Compute as always, and keep what goes into a known weight."""
        if func is _LINEAR and len(args) > 1 and (place := self._places.get(args[1].data_ptr())):
            rows = args[0].detach().reshape(-1, args[0].shape[-1]).float()
            names, expert = place
            for name in names:
                self.sums[name][expert] += rows.square().sum(0)
                self.counts[name][expert] += len(rows)
        return func(*args, **(kwargs or {}))


def _matrices(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Parameter, int, tuple[str, ...]]]:
    """Each matrix, of how many experts it holds those, and what it would be called were gate, up and down matrices of their own."""
    for name, parameter in model.named_parameters():
        if (fused := _FUSED.match(name)) and parameter.ndim == 3:
            parts = ("gate_proj", "up_proj") if fused["part"] == "gate_up_proj" else ("down_proj",)
            yield parameter, len(parameter), tuple(f"{fused['before']}.{part}.weight" for part in parts)
        elif parameter.ndim == 2:
            yield parameter, 1, (name,)
