"""GPTQ and AWQ quantization in their native formats, through GPTQModel, for engines that don't read compressed-tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, Problem, QuantizerSpec, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

SWIFT_EXAMPLES = Ref("swift_plugin_gptqmodel.examples:EXAMPLES")

_ENGINES = (
    Engine(
        when="cpu",
        # GPTQModel 7.7 declares a torch that PyPI has for CUDA only; it works with the CPU build
        requirements=(
            "torch>=2.10,<2.14",
            "transformers>=5.20.2",
            "optimum>=2.3",
            "accelerate>=1.15",
            "datasets>=5.1",
            "defuser>=0.0.28",
            "device-smi>=0.5.7",
            "dill",
            "filelock",
            "jinja2",
            "logbar>=0.4.15",
            "maturin>=1.15",
            "ninja>=1.13",
            "numpy>=2.4",
            "pillow",
            "protobuf>=7.36",
            "pyarrow",
            "pypcre>=0.6.4",
            "requests",
            "threadpoolctl>=3.7",
            "tokenicer>=0.0.14",
            "torchao>=0.18",
        ),
        no_deps=("gptqmodel==7.7.0",),
        disk=1.6,
    ),
    Engine(requirements=("gptqmodel>=7.7", "optimum>=2.3"), disk=7.5),
)


def _spec(name: str, summary: str, method: str, bits: tuple[int, ...], *also: str) -> QuantizerSpec:
    return QuantizerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_gptqmodel.quantizer:{method}"),
        options=Ref(f"swift_plugin_gptqmodel.options:{method}Options"),
        engines=_ENGINES,
        isolated=True,
        when="offline",
        format=method.lower(),
        bits=bits,
        calibrates=True,
    )


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the GPTQ and AWQ quantizers, which share one engine."""
    return [
        _spec("gptq-native", "GPTQ in its native format, for engines without compressed-tensors", "Gptq", (2, 3, 4, 8), "gptqmodel"),
        _spec("awq-native", "AWQ in its native format, for engines without compressed-tensors", "Awq", (4,)),
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report problems that GPTQModel detects only after loading the model, or not at all."""
    choice = run.parts.get("quantizer")
    if run.verb == "quantize" and choice is not None and choice.name in ("gptq-native", "awq-native"):
        from swift_plugin_gptqmodel.check import problems

        yield from problems(run)
