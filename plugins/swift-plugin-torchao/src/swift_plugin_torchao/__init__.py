"""8-bit weight-only quantization through torchao, while loading or saved, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, Problem, QuantizerSpec, Ref, TunerSpec

if TYPE_CHECKING:
    from swift_core.contract import Run

# Not a dependency of this distribution: once torchao is installed, transformers imports it with every model, which takes a second
_ENGINE = Engine(requirements=("torchao>=0.17",), disk=0.02)


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the torchao quantizer (int8 and fp8); torchao's 4-bit types need kernels that a CPU lacks."""
    return [
        QuantizerSpec(
            name="torchao",
            summary="8-bit weight-only quantization (int8, fp8) while loading, through torchao",
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
    """Reject tuners that train or compute with the quantized weights."""
    if "quantizer" not in run.parts or run.parts["quantizer"].name != "torchao" or "tuner" not in run.parts:
        return
    from swift_core.plugins import registry

    tuner = registry().spec(run.parts["tuner"], TunerSpec)
    if tuner.trains == "weights" or not tuner.quantized_base:
        message = f"the tuner '{tuner.name}' does not support weights quantized by torchao"
        yield Problem(code="QUANT-014", where="quantizer", message=message, hint="Use --tuner lora, or omit --quantizer.")
