"""8-bit weight-only quantization through torchao, while loading or saved, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, OptimizerSpec, Problem, QuantizerSpec, Ref, TunerSpec

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
def swift_optimizers() -> list[OptimizerSpec]:
    """Return AdamW with a state of 4 and 8 bits, and of float8, which needs a GPU."""
    return [
        OptimizerSpec(
            name=name,
            summary=f"AdamW with {state} state (torchao)",
            also=also,
            factory=Ref(f"swift_plugin_torchao.optimizers:{kind}"),
            options=Ref("swift_train.optimizer_options:AdamOptions"),
            engines=(_ENGINE,),
            shards="elements",
        )
        for name, kind, state, also in (
            ("adamw-4bit", "AdamW4bit", "a 4-bit", ("adamw_torch_4bit", "ao_adamw_4bit")),
            ("adamw-torch-8bit", "AdamW8bit", "an 8-bit", ("adamw_torch_8bit", "ao_adamw_8bit")),
            ("adamw-fp8", "AdamWFp8", "a float8", ("ao_adamw_fp8",)),
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject float8 on a CPU, and tuners that train or compute with the quantized weights."""
    if "optimizer" in run.parts and run.parts["optimizer"].plugin == "torchao":
        from swift_plugin_torchao.check import optimizer_problems

        yield from optimizer_problems(run)
    if "quantizer" not in run.parts or run.parts["quantizer"].name != "torchao" or "tuner" not in run.parts:
        return
    from swift_core.plugins import registry

    tuner = registry().spec(run.parts["tuner"], TunerSpec)
    if tuner.trains == "weights" or not tuner.quantized_base:
        message = f"the tuner '{tuner.name}' does not support weights quantized by torchao"
        yield Problem(code="QUANT-014", where="quantizer", message=message, hint="Use --tuner lora, or omit --quantizer.")
