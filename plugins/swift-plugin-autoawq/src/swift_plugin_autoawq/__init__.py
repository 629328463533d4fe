"""AWQ quantization through AutoAWQ, which is archived; `awq` and `awq-native` are its successors."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Engine, QuantizerSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_autoawq.examples:EXAMPLES")

_LAST = ("autoawq==0.2.9", "transformers==4.51.3")  # its last release, and the versions that its authors tested it with


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return the AutoAWQ quantizer."""
    return [
        QuantizerSpec(
            name="autoawq",
            summary="AWQ through AutoAWQ 0.2.9 (archived); prefer awq, or awq-native for the same format",
            factory=Ref("swift_plugin_autoawq.quantizer:AutoAwq"),
            options=Ref("swift_plugin_autoawq.options:AutoAwqOptions"),
            engines=(
                Engine(when="cpu", requirements=(*_LAST, "torch>=2.6,<2.14"), disk=2.5),
                Engine(when="cuda", requirements=(*_LAST, "torch==2.6.0"), disk=6.0),
            ),
            isolated=True,
            when="offline",
            format="awq",
            bits=(4,),
            calibrates=True,
        )
    ]
