"""OpenVINO as a serving backend: the swift side of it, which is data alone."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, Engine, ExporterSpec, Ref

ENGINE = Engine(requirements=("openvino-genai>=2026.4", "gguf>=0.17", "jinja2>=3.1"), disk=0.4)
"""On any machine, since it computes on the CPU; gguf and jinja2 read what OpenVINO doesn't tell of a model."""

CONVERTER = Engine(
    requirements=(
        "transformers>=4.51,<5.6",
        "torch>=2.6,<2.14",
        "optimum>=2.3,<2.4",
        "nncf>=3.3",
        "openvino>=2026.4",
        "openvino-tokenizers>=2026.4",
        "huggingface-hub<1.22",
        "requests>=2.33",
        "setuptools",
    ),
    no_deps=("optimum-intel>=2.2,<2.3",),
    disk=1.6,
)
"""What writes OpenVINO's own format. optimum-intel comes without its dependencies, which are those above and torchvision: transformers
imports it where it is there, and PyPI's does not go with torch for CPUs alone, of which 2.13 is the newest."""


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


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """OpenVINO's own format, of any decoder that optimum knows; named apart from the backend, which has another environment."""
    return [
        ExporterSpec(
            name="openvino-ir",
            summary="OpenVINO's own format in 32 to 4 bits, for the openvino backend",
            factory=Ref("swift_plugin_openvino.exporter:OpenvinoExporter"),
            options=Ref("swift_plugin_openvino.export_options:OpenvinoExportOptions"),
            engines=(CONVERTER,),
            isolated=True,
            reads=("safetensors",),
            writes="openvino",
        )
    ]
