"""A serving engine: transformers, one request after another, behind swift-http's OpenAI-compatible layer."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, Engine, Ref


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """One backend. What it says here is what the core believes: it serves no adapters, so it is never given one."""
    return [
        BackendSpec(
            name="acme",
            summary="The smallest engine that serves a checkpoint",
            factory=Ref("swift_plugin_acme.backend:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            reads=("safetensors",),
            adapters=False,
            engines=(Engine(requirements=("torch>=2.6", "transformers>=5")),),
        )
    ]
