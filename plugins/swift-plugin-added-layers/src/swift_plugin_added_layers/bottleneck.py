"""Bottleneck adapters: h + U·f(D·h), with narrow layers D and U, after parts of each block. U starts at zero."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from swift_core.contract import UsageError
from swift_plugin_added_layers.added import AddedLayersTuner, check_parts
from swift_plugin_added_layers.blocks import parts_with_linear_layers
from swift_plugin_added_layers.options import BottleneckOptions


class Bottleneck(nn.Module):
    """The two layers."""

    def __init__(self, hidden: int, options: BottleneckOptions) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, options.size), nn.Linear(options.size, hidden)
        self._activation = getattr(functional, options.activation)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return what is added to the hidden states."""
        added: Tensor = self.up(self._activation(self.down(states)))
        return added


class BottleneckTuner(AddedLayersTuner[BottleneckOptions]):
    """Adds bottleneck adapters."""

    kind, own = "BOTTLENECK", BottleneckOptions

    def places(self, blocks: nn.ModuleList, options: BottleneckOptions) -> Iterator[tuple[int, str]]:
        """Yield the parts named in the options, or the last one with linear layers."""
        for number, block in enumerate(blocks):
            parts = options.after or parts_with_linear_layers(block)[-1:]
            check_parts(parts, block, "tuner.after")
            if not parts:
                message = f"block {number} has no part with linear layers"
                raise UsageError(message, code="PLUGIN-043", where="tuner", hint="Name the parts: --tuner.after mlp.")
            yield from ((number, part) for part in parts)

    def layer(self, size: int, options: BottleneckOptions) -> nn.Module:
        """Return the two layers."""
        return Bottleneck(size, options)
