"""bitsandbytes: weights in 4 or 8 bits while a model is loaded, on CUDA, XPU and CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import Problem, QuantizerSpec, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run

# bitsandbytes' packed weights have another shape than the layer, so nothing that splits layers can split them
_SPLITS_LAYERS = ("fsdp", "fsdp2", "tp", "mesh", "megatron")


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """One quantizer, for 4 and 8 bits."""
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
    """Refuse bnb where the weights themselves are trained or computed with, and under strategies that split layers."""
    from swift_core.plugins.registry import registry

    tuner = registry().spec(run.parts["tuner"]) if "tuner" in run.parts else None
    chosen = run.parts["quantizer"].name if "quantizer" in run.parts else ""
    if "bnb" not in (chosen, tuner.implies if tuner else ""):
        return
    if tuner and tuner.trains == "weights":
        yield Problem(
            where="quantizer",
            message=f"weights quantized by bnb can't be trained by the tuner '{tuner.name}'",
            hint="Use --tuner qlora, or leave the quantizer out.",
        )
    elif tuner and not tuner.quantized_base:
        yield Problem(
            where="tuner",
            message=f"'{tuner.name}' can't adapt weights that bnb has quantized",
            hint="Use --tuner qlora, or leave the quantizer out.",
        )
    parallel = run.parts["parallel"].name if "parallel" in run.parts else ""
    if parallel in _SPLITS_LAYERS:
        yield Problem(
            where="parallel",
            message=f"'{parallel}' can't split weights that bnb has quantized",
            hint="Use --parallel ddp, or leave the quantizer out.",
        )
    elif parallel == "zero3":
        yield Problem(
            where="parallel", message="bnb under ZeRO-3 is untested", hint="--parallel zero2 or ddp is the safe choice.", fatal=False
        )
