"""LMDeploy as a serving backend: the swift side of it, which needs nothing but swift-core."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, Engine, Ref


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """LMDeploy runs on accelerators alone. Others than CUDA need further packages of their vendors, so no engine is named for them."""
    return [
        BackendSpec(
            name="lmdeploy",
            summary="LMDeploy: the TurboMind engine, and a PyTorch one for what it lacks",
            factory=Ref("swift_plugin_lmdeploy.backend:LmdeployBackend"),
            options=Ref("swift_plugin_lmdeploy.options:LmdeployOptions"),
            engines=(Engine(when="cuda", requirements=("lmdeploy>=0.18",)),),
            isolated=True,
            reads=("safetensors",),
            modalities=("text", "image"),
            adapters=True,
        )
    ]
