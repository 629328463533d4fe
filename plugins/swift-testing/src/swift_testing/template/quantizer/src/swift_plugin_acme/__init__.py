"""A load-time quantizer: the weights of the linear layers are stored as 8-bit integers."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import QuantizerSpec, Ref


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """Return one quantizer. With `when="load"` it quantizes while a model is loaded; with `offline` it would write a checkpoint."""
    return [
        QuantizerSpec(
            name="acme",
            summary="8-bit weights at load time, one scale per row",
            factory=Ref("swift_plugin_acme.quantizer:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            when="load",
            format="acme",
            bits=(8,),
        )
    ]
