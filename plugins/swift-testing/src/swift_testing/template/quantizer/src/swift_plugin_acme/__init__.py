"""A load-time quantizer: the linear layers hold their weights as whole numbers of 8 bits."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import QuantizerSpec, Ref


@hookimpl
def swift_quantizers() -> list[QuantizerSpec]:
    """One quantizer. `when="load"` says that it acts while a model is loaded; `offline` would write a checkpoint."""
    return [
        QuantizerSpec(
            name="acme",
            summary="8-bit weights while loading, one scale a row",
            factory=Ref("swift_plugin_acme.quantizer:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            when="load",
            format="acme",
            bits=(8,),
        )
    ]
