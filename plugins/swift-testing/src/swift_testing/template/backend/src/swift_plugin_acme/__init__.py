"""A backend: serves with transformers, one request at a time, behind swift-http's OpenAI-compatible API."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Engine, Ref


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Return one backend. The core relies on the flags of its spec: with `adapters=False` it is never given an adapter."""
    return [
        BackendSpec(
            name="acme",
            summary="A minimal engine that serves a checkpoint",
            factory=Ref("swift_plugin_acme.backend:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            reads=("safetensors",),
            adapters=False,
            engines=(Engine(requirements=("torch>=2.6", "transformers>=5")),),
        )
    ]
