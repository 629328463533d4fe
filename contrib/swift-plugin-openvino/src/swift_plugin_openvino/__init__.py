"""OpenVINO as a serving backend: the swift side of it, which is data alone."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import BackendSpec, Engine, Ref

ENGINE = Engine(requirements=("openvino-genai>=2026.4", "gguf>=0.17", "jinja2>=3.1"), disk=0.4)
"""On any machine, since it computes on the CPU; gguf and jinja2 read what OpenVINO doesn't tell of a model."""


SWIFT_EXAMPLES = Ref("swift_plugin_openvino.examples:EXAMPLES")


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """OpenVINO reads GGUF files as they are, and folders in its own format, which `optimum-cli export openvino` writes."""
    return [
        BackendSpec(
            name="openvino",
            summary="OpenVINO: continuous batching on CPUs, GGUF files as they are",
            factory=Ref("swift_plugin_openvino.backend:OpenvinoBackend"),
            options=Ref("swift_plugin_openvino.options:OpenvinoOptions"),
            engines=(ENGINE,),
            isolated=True,
            reads=("gguf", "openvino"),
        )
    ]
