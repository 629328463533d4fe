"""Tuners that add layers to a frozen model: copies of its blocks (LLaMA Pro), bottleneck adapters, changes of hidden states (ReFT)."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec

SWIFT_EXAMPLES = Ref("swift_plugin_added_layers.examples:EXAMPLES")


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """Return the tuners."""
    return [
        TunerSpec(
            name="llamapro",
            summary="Block expansion: new blocks between the frozen ones; the result is a larger model",
            also=("llama-pro", "block-expansion"),
            factory=Ref("swift_plugin_added_layers.block_expansion:BlockExpansion"),
            options=Ref("swift_plugin_added_layers.options:BlockExpansionOptions"),
            trains="weights",
            merger=Ref("swift_train.merge:merge"),
        ),
        TunerSpec(
            name="bottleneck",
            summary="Bottleneck adapters: two small layers after the feed-forward part of each block",
            also=("adapter", "houlsby", "pfeiffer"),
            factory=Ref("swift_plugin_added_layers.bottleneck:BottleneckTuner"),
            options=Ref("swift_plugin_added_layers.options:BottleneckOptions"),
            trains="adapter",
            quantized_base=True,
        ),
        TunerSpec(
            name="reft",
            summary="Low-rank interventions on the hidden states after each block (LoReFT and its variants)",
            also=("loreft",),
            factory=Ref("swift_plugin_added_layers.reft:ReftTuner"),
            options=Ref("swift_plugin_added_layers.options:ReftOptions"),
            trains="adapter",
            quantized_base=True,
        ),
    ]
