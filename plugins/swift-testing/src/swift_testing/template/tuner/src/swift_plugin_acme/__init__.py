"""A tuner: only the weights of the normalization layers are trained, a few thousand parameters of a model of billions."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """Return one tuner. With `trains="weights"`, its checkpoints are full models; with `adapter`, they would be adapters."""
    return [
        TunerSpec(
            name="acme",
            summary="Trains only the normalization layers",
            factory=Ref("swift_plugin_acme.tuner:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            trains="weights",
            merger=Ref("swift_train.merge:merge"),
        )
    ]
