"""Statistics of the inputs of each linear layer: the sum of squares per column and the number of tokens, per expert."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FUSED = re.compile(r"^(?P<before>.*\.experts)\.(?P<part>gate_up_proj|down_proj)$")
_LINEAR = torch.nn.functional.linear


class ActivationStats(TorchFunctionMode):
    """A context manager that records the inputs of every linear layer of `model`.

    `sums` maps a GGUF name to the sums of squares, shape [experts, columns] (one expert for a plain matrix), and `counts` to the number
    of tokens, shape [experts]. It is a `TorchFunctionMode` so that it also sees slices of fused expert weights, which are not modules.

    Args:
        model: the model on its device; its experts must be computed one at a time (implementation `eager`).
        name_of: maps the name of a weight to its GGUF name, or to None if it is not to be recorded.
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
        """Call `func`, and record the inputs of a linear layer whose weight is known."""
        if func is _LINEAR and len(args) > 1 and (place := self._places.get(args[1].data_ptr())):
            rows = args[0].detach().reshape(-1, args[0].shape[-1]).float()
            names, expert = place
            for name in names:
                self.sums[name][expert] += rows.square().sum(0)
                self.counts[name][expert] += len(rows)
        return func(*args, **(kwargs or {}))


def _matrices(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Parameter, int, tuple[str, ...]]]:
    """Yield each matrix, its number of experts, and its names with fused gate and up projections counted as two matrices."""
    for name, parameter in model.named_parameters():
        if (fused := _FUSED.match(name)) and parameter.ndim == 3:
            parts = ("gate_proj", "up_proj") if fused["part"] == "gate_up_proj" else ("down_proj",)
            yield parameter, len(parameter), tuple(f"{fused['before']}.{part}.weight" for part in parts)
        elif parameter.ndim == 2:
            yield parameter, 1, (name,)
