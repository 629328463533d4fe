"""LMDeploy as a serving backend: the thin plugin; LMDeploy itself runs in its own environment."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Engine, Ref


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Return the backend. LMDeploy needs an accelerator; non-CUDA devices need vendor packages, so they have no engine here."""
    return [
        BackendSpec(
            name="lmdeploy",
            summary="LMDeploy: the TurboMind engine, and a PyTorch engine for models that TurboMind does not support",
            factory=Ref("swift_plugin_lmdeploy.backend:LmdeployBackend"),
            options=Ref("swift_plugin_lmdeploy.options:LmdeployOptions"),
            engines=(Engine(when="cuda", requirements=("lmdeploy>=0.18",)),),
            isolated=True,
            reads=("safetensors",),
            modalities=("text", "image"),
            adapters=True,
        )
    ]
