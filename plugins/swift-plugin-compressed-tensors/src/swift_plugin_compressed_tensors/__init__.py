"""Quantization for serving through llm-compressor, in the compressed-tensors format of vLLM, SGLang and transformers."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Engine, QuantizerSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_compressed_tensors.examples:EXAMPLES")

# llm-compressor 0.14 needs torch up to 2.14.0 and an older transformers, so it has an environment of its own
_ENGINES = (
    Engine(when="cpu", requirements=("llmcompressor>=0.14", "torch>=2.10,<2.14"), disk=1.5),
    Engine(requirements=("llmcompressor>=0.14",), disk=7.0),
)


def _spec(name: str, summary: str, method: str, bits: tuple[int, ...], *also: str, calibrates: bool, options: str = "") -> QuantizerSpec:
    return QuantizerSpec(
        name=name,
        summary=summary,
        also=also,
        factory=Ref(f"swift_plugin_compressed_tensors.quantizer:{method}"),
        options=Ref(f"swift_plugin_compressed_tensors.options:{options or method}Options"),
        engines=_ENGINES,
        isolated=True,
        when="offline",
        format="compressed-tensors",
        bits=bits,
        calibrates=calibrates,
    )


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the six quantizers, which share one engine."""
    return [
        _spec("gptq", "GPTQ: 4-bit weights, rounded by column with error compensation", "Gptq", (4, 8), calibrates=True),
        _spec("awq", "AWQ: 4-bit weights, scaled by activation size before rounding", "Awq", (4,), calibrates=True),
        _spec("w4a16", "4-bit weights, round-to-nearest: fast, without calibration", "W4a16", (4, 8), "rtn", calibrates=False),
        _spec("fp8", "FP8 weights and activations, with dynamic activation scales", "Fp8", (8,), "fp8-dynamic", calibrates=False),
        _spec(
            "fp8-static", "FP8 weights and activations, with static activation scales", "Fp8Static", (8,), calibrates=True, options="Fp8"
        ),
        _spec("w8a8", "INT8 weights and activations, with SmoothQuant", "W8a8", (8,), "int8", calibrates=True),
    ]
