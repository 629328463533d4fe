"""GPTQ quantization through AutoGPTQ, which is archived and needs CUDA; `gptq` and `gptq-native` are its successors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, Problem, QuantizerSpec, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

SWIFT_EXAMPLES = Ref("swift_plugin_auto_gptq.examples:EXAMPLES")

_LAST = ("auto-gptq==0.7.1", "transformers==4.51.3", "peft<0.14")  # its last release, and the newest versions that it imports with


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the AutoGPTQ quantizer."""
    return [
        QuantizerSpec(
            name="auto-gptq",
            summary="GPTQ through AutoGPTQ 0.7.1 (archived, CUDA only); prefer gptq, or gptq-native for the same format",
            also=("autogptq",),
            factory=Ref("swift_plugin_auto_gptq.quantizer:AutoGptq"),
            options=Ref("swift_plugin_auto_gptq.options:AutoGptqOptions"),
            engines=(
                Engine(when="cpu", requirements=(*_LAST, "torch>=2.6,<2.14"), disk=2.5),
                Engine(when="cuda", requirements=(*_LAST, "torch==2.6.0"), disk=6.0),
            ),
            isolated=True,
            when="offline",
            format="gptq",
            bits=(2, 3, 4, 8),
            calibrates=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Reject a run without CUDA, which AutoGPTQ needs to quantize."""
    choice = run.parts.get("quantizer")
    if run.verb != "quantize" or choice is None or choice.name != "auto-gptq":
        return
    from swift_core.plugins import device_kind

    if (kind := device_kind()) != "cuda":
        hint = "Use a successor, which needs no GPU: --quantizer gptq, or gptq-native for AutoGPTQ's format."
        yield Problem(code="QUANT-001", where="quantizer", message=f"AutoGPTQ needs CUDA, and this machine has {kind}", hint=hint)
