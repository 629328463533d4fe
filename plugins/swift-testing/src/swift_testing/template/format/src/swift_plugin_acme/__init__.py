"""A checkpoint format: a NumPy archive beside a config.json."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import FormatSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_acme.examples:EXAMPLES")  # for `swift plugins check`


@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Return one format. Loaders, exporters and backends name it in their `reads` and `writes`."""
    return [
        FormatSpec(
            name="acme",
            summary="NumPy archives beside a config.json",
            recognised_by=("config.json", "*.npz"),
            weights=("*.npz",),
            check=Ref("swift_plugin_acme.check:check"),
        )
    ]
