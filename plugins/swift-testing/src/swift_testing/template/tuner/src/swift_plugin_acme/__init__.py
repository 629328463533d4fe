"""A tuner: the norms' weights learn, and nothing else; a few thousand numbers of a model of billions."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import Ref, TunerSpec


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """One tuner. `trains` says that its checkpoint is a whole model, not an adapter beside one."""
    return [
        TunerSpec(
            name="acme",
            summary="The weights of the norms learn",
            factory=Ref("swift_plugin_acme.tuner:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            trains="weights",
        )
    ]
