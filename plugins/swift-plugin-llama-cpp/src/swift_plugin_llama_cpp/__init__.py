"""llama.cpp's quantizer (llama-quantize) as an exporter: quantize a GGUF file, in a separate environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

ENGINE = Engine(requirements=("cyllama>=0.2.18",), disk=0.1)
"""cyllama packages llama.cpp as a CPU wheel, without torch or NumPy."""

REQUIRES_MATRIX = ("q2_k_s", "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs")
"""Quantization types that llama.cpp writes only with an importance matrix."""

SWIFT_EXAMPLES = Ref("swift_plugin_llama_cpp.examples:EXAMPLES")


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return the exporter `gguf-k`, for the K and IQ types, which only llama.cpp itself can write."""
    return [
        ExporterSpec(
            name="gguf-k",
            summary="A GGUF file quantized by llama.cpp: q4_k_m, iq3_xxs and the other K and IQ types",
            also=("llama-quantize",),
            factory=Ref("swift_plugin_llama_cpp.quantize:LlamaQuantize"),
            options=Ref("swift_plugin_llama_cpp.options:LlamaQuantizeOptions"),
            engines=(ENGINE,),
            isolated=True,
            reads=("gguf",),
            writes="gguf",
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Check that an importance matrix is given if the type requires one, and that the given file exists."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "gguf-k":
        return
    from swift_core.contract import UsageError
    from swift_plugin_llama_cpp.imatrix import HINT, matrix_file

    type_, matrix = chosen.options.get("type"), chosen.options.get("imatrix")
    if type_ in REQUIRES_MATRIX and not matrix:
        yield Problem(code="SERVE-021", where="imatrix", message=f"the type {type_} requires an importance matrix", hint=HINT)
    elif matrix:
        try:
            matrix_file(matrix)
        except UsageError as error:
            yield Problem(code=error.code, where="imatrix", message=error.message, hint=error.hint)
