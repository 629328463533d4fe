"""A load-time quantizer: every linear layer's weights are rounded to 8 bits, to see what that costs in quality."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import QuantizerSpec, Ref


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """One quantizer. `when="load"` says that it acts while a model is loaded; `offline` would write a checkpoint."""
    return [
        QuantizerSpec(
            name="acme",
            summary="Weights rounded to few bits while loading, kept as floats",
            factory=Ref("swift_plugin_acme.quantizer:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            when="load",
            format="acme",
            bits=(2, 3, 4, 5, 6, 7, 8),
        )
    ]
