"""Optimizers of torch and transformers beside AdamW: Muon, Adafactor, SGD, RMSprop and Adagrad."""

from __future__ import annotations

from typing import Literal

from swift_core import hookimpl
from swift_core.contract import FlagFor, OptimizerSpec, Ref


def _spec(
    name: str, kind: str, summary: str, *also: str, options: str = "", shards: Literal["elements", "tensors", ""] = "elements"
) -> OptimizerSpec:
    return OptimizerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_optimizers.optimizers:{kind}"),
        options=Ref(f"swift_plugin_optimizers.options:{options or kind}Options"),
        shards=shards,
    )


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """Return the optimizers."""
    return [
        _spec("muon", "Muon", "Muon (torch) for the matrices of hidden layers, AdamW for all other weights", shards="tensors"),
        _spec("adafactor", "Adafactor", "Adafactor (transformers): second moments of rows and columns only", shards=""),
        OptimizerSpec(
            name="badam", summary="BAdam: AdamW on one layer after another (torch), with the state of that layer alone",
            factory=Ref("swift_plugin_optimizers.blockwise:Blockwise"), options=Ref("swift_plugin_optimizers.options:BlockwiseOptions"),
            shards="tensors",
        ),
        OptimizerSpec(
            name="lisa", summary="LISA: AdamW on some layers that are drawn anew (torch), and on embeddings and output layer",
            factory=Ref("swift_plugin_optimizers.blockwise:Blockwise"), options=Ref("swift_plugin_optimizers.options:LisaOptions"),
            shards="tensors", flags=(FlagFor("lisa_activated_layers", "layers"),),
        ),
        _spec("sgd", "Sgd", "Stochastic gradient descent (torch), with momentum"),
        _spec("rmsprop", "RmsProp", "RMSprop (torch)"),
        _spec("adagrad", "Adagrad", "Adagrad (torch)"),
    ]  # fmt: skip
