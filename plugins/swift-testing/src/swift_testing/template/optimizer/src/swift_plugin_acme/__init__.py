"""An optimizer: Lion, which needs half the memory of AdamW."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import OptimizerSpec, Ref


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """Return one optimizer, which `--optimizer acme` chooses."""
    return [
        OptimizerSpec(
            name="acme",
            summary="Lion: steps of equal size in the direction of the sign of the momentum",
            factory=Ref("swift_plugin_acme.optimizer:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
