"""torchao: weights in 8 bits while a model is loaded, and saved so, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import Engine, Problem, QuantizerSpec, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run

# No dependency of this distribution: where torchao is installed, transformers imports it with every model, which takes a second
_ENGINE = Engine(requirements=("torchao>=0.17",), disk=0.02)


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """One quantizer, of two kinds of numbers. torchao's 4 bits need kernels that a CPU has not."""
    return [
        QuantizerSpec(
            name="torchao",
            summary="8-bit weights (int8, fp8) while loading, through torchao",
            factory=Ref("swift_plugin_torchao.quantizer:TorchaoQuantizer"),
            options=Ref("swift_plugin_torchao.options:TorchaoOptions"),
            engines=(_ENGINE,),
            when="load",
            format="torchao",
            bits=(8,),
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse what trains the quantized weights themselves."""
    if "quantizer" not in run.parts or run.parts["quantizer"].name != "torchao" or "tuner" not in run.parts:
        return
    from swift_core.plugins.registry import registry

    tuner = registry().spec(run.parts["tuner"])
    if tuner.trains == "weights" or not tuner.quantized_base:
        message = f"'{tuner.name}' can't train on weights that torchao has quantized"
        yield Problem(where="quantizer", message=message, hint="Use --tuner lora, or leave the quantizer out.")
