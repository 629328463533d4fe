"""4-bit and 8-bit quantization while loading, through bitsandbytes, on CUDA, XPU and CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Problem, QuantizerSpec, Ref, TunerSpec

if TYPE_CHECKING:
    from swift_core.contract import Run

# the packed weights of bitsandbytes do not have the shape of the layer, so they can't be sharded
_SHARDING = ("fsdp", "fsdp2", "tp", "mesh", "megatron")


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the bitsandbytes quantizer."""
    return [
        QuantizerSpec(
            name="bnb",
            summary="4-bit (nf4, fp4) or 8-bit weights while loading, through bitsandbytes",
            also=("bitsandbytes", "nf4"),
            factory=Ref("swift_plugin_bnb.quantizer:BnbQuantizer"),
            options=Ref("swift_plugin_bnb.options:BnbOptions"),
            when="load",
            format="bitsandbytes",
            bits=(4, 8),
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject tuners that train or compute with the quantized weights, and parallel strategies that shard layers."""
    from swift_core.plugins import registry

    tuner = registry().spec(run.parts["tuner"], TunerSpec) if "tuner" in run.parts else None
    chosen = run.parts["quantizer"].name if "quantizer" in run.parts else ""
    if "bnb" not in (chosen, tuner.implies if tuner else ""):
        return
    if tuner and tuner.trains == "weights":
        yield Problem(
            code="QUANT-004",
            where="quantizer",
            message=f"the tuner '{tuner.name}' can't train weights quantized by bnb",
            hint="Use --tuner qlora, or omit --quantizer.",
        )
    elif tuner and not tuner.quantized_base:
        yield Problem(
            code="QUANT-005",
            where="tuner",
            message=f"the tuner '{tuner.name}' does not support weights quantized by bnb",
            hint="Use --tuner qlora, or omit --quantizer.",
        )
    parallel = run.parts["parallel"].name if "parallel" in run.parts else ""
    if parallel in _SHARDING:
        yield Problem(
            code="QUANT-006",
            where="parallel",
            message=f"the parallel strategy '{parallel}' can't shard weights quantized by bnb",
            hint="Use --parallel ddp, or omit --quantizer.",
        )
    elif parallel == "zero3":
        yield Problem(
            code="QUANT-007",
            where="parallel",
            message="bnb with ZeRO-3 is not tested",
            hint="Use --parallel zero2 or ddp to be safe.",
            fatal=False,
        )
