"""A loader: it loads safetensors checkpoints with transformers."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LoaderSpec, Ref


@hookimpl
def swift_loaders() -> list[LoaderSpec]:
    """Return one loader, which `--loader acme` chooses. `reads` are the names of the checkpoint formats that it loads."""
    return [
        LoaderSpec(
            name="acme",
            summary="Loads safetensors checkpoints of causal language models",
            factory=Ref("swift_plugin_acme.loader:Acme"),
            reads=("safetensors",),
        )
    ]
