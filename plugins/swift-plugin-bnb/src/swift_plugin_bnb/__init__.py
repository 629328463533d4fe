"""4-bit and 8-bit quantization while loading, through bitsandbytes, on CUDA, XPU and CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import OptimizerSpec, Problem, QuantizerSpec, Ref, TunerSpec

if TYPE_CHECKING:
    from swift_core.contract import Run

# the packed weights of bitsandbytes do not have the shape of the layer; fsdp cuts their bytes, and these cut matrices
_SHARDING = ("tp", "mesh", "megatron")
_PAGED = ("paged-adamw", "paged-adamw-8bit", "paged-lion", "paged-lion-8bit")


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


def _optimizer(name: str, kind: str, summary: str, *also: str) -> OptimizerSpec:
    options = {"AdamW": "swift_train.optimizer_options:AdamOptions", "Lion": "swift_plugin_bnb.optimizer_options:LionOptions"}
    family = kind.removeprefix("Paged").removesuffix("8bit")
    return OptimizerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_bnb.optimizers:{kind}"),
        shards="elements",
        options=Ref(options.get(family, "swift_plugin_bnb.optimizer_options:AdEMAMixOptions")),
    )


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """Return the optimizers with an 8-bit state, and those whose state is paged to main memory when a GPU's is full."""
    return [
        _optimizer("adamw-8bit", "AdamW8bit", "AdamW with an 8-bit state (bitsandbytes)", "adamw_bnb_8bit", "adamw_8bit"),
        _optimizer("paged-adamw", "PagedAdamW", "AdamW with a paged state (bitsandbytes); needs a GPU", "paged_adamw_32bit", "paged_adamw"),
        _optimizer("paged-adamw-8bit", "PagedAdamW8bit", "AdamW with a paged 8-bit state (bitsandbytes); needs a GPU", "paged_adamw_8bit"),
        _optimizer("lion", "Lion", "Lion (bitsandbytes)", "lion_32bit", "lion_pytorch"),
        _optimizer("lion-8bit", "Lion8bit", "Lion with an 8-bit state (bitsandbytes)", "lion_8bit"),
        _optimizer("paged-lion", "PagedLion", "Lion with a paged state (bitsandbytes); needs a GPU", "paged_lion_32bit"),
        _optimizer("paged-lion-8bit", "PagedLion8bit", "Lion with a paged 8-bit state (bitsandbytes); needs a GPU", "paged_lion_8bit"),
        _optimizer("ademamix", "AdEMAMix", "AdEMAMix (bitsandbytes)"),
        _optimizer("ademamix-8bit", "AdEMAMix8bit", "AdEMAMix with an 8-bit state (bitsandbytes)", "ademamix_8bit"),
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject paged optimizers on a CPU, and what can't train, compute with or shard the quantized weights."""
    from swift_train.strategy_checks import kind_of

    from swift_core.plugins import registry

    if "optimizer" in run.parts and run.parts["optimizer"].name in _PAGED and kind_of(str(run.options.get("device", "auto"))) == "cpu":
        name = run.parts["optimizer"].name
        message = f"'{name}' pages the optimizer state between a GPU's memory and main memory, but this run is on a CPU"
        yield Problem(code="QUANT-015", where="optimizer", message=message, hint=f"Use --optimizer {name.removeprefix('paged-')}.")
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
    options = run.parts["quantizer"].options if "quantizer" in run.parts else {}
    if parallel == "fsdp" and options.get("bits", 4) != 4:
        message, hint = "fsdp shards weights of 4 bits, and not those of 8", "Use 4 bits, or --parallel ddp."
        yield Problem(code="QUANT-018", where="parallel", message=message, hint=hint)
    elif parallel in _SHARDING:
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
