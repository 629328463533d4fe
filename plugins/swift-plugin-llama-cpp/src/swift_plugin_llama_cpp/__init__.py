"""llama.cpp's own quantizer, in an environment of its own: GGUF → GGUF in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import Engine, ExporterSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run

ENGINE = Engine(requirements=("cyllama>=0.2.18",), disk=0.1)
"""cyllama brings llama.cpp as a wheel for CPUs, without torch or NumPy."""

NEED_A_MATRIX = ("q2_k_s", "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs")
"""Types that llama.cpp makes with an importance matrix alone."""

SWIFT_EXAMPLES = Ref("swift_plugin_llama_cpp.examples:EXAMPLES")


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """The K and IQ types, which only llama.cpp itself can write."""
    return [
        ExporterSpec(
            name="gguf-k",
            summary="A GGUF file quantized further by llama.cpp: q4_k_m, iq3_xxs and the other K and IQ types",
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
    """Refuse a type that wants an importance matrix without one, and a matrix that is not there."""
    chosen = run.parts.get("exporter")
    if chosen is None or chosen.name != "gguf-k":
        return
    from swift_core.contract.errors import UsageError
    from swift_plugin_llama_cpp.imatrix import HINT, matrix_file

    type_, named = chosen.options.get("type"), chosen.options.get("imatrix")
    if type_ in NEED_A_MATRIX and not named:
        yield Problem(where="imatrix", message=f"llama.cpp makes {type_} with an importance matrix alone", hint=HINT)
    elif named:
        try:
            matrix_file(named)
        except UsageError as error:
            yield Problem(where="imatrix", message=error.message, hint=error.hint)
