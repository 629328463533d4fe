"""OpenVINO as a serving backend and an export format; this module only declares them."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Engine, ExporterSpec, FormatSpec, Ref

ENGINE = Engine(requirements=("openvino-genai>=2026.4", "gguf>=0.17", "jinja2>=3.1"), disk=0.4)
"""The serving environment, for any machine with a CPU; gguf and jinja2 read model metadata that OpenVINO does not expose."""

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
"""The export environment. optimum-intel is installed without its dependencies, which are those above and torchvision: transformers imports
torchvision if it is installed, and PyPI's does not work with a CPU-only torch, of which 2.13 is the newest."""


SWIFT_EXAMPLES = Ref("swift_plugin_openvino.examples:EXAMPLES")


@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Return OpenVINO IR; the .bin files beside the graphs are raw tensors, not pickles."""
    return [
        FormatSpec(
            name="openvino",
            summary="OpenVINO IR, as optimum-cli exports it",
            recognised_by=("openvino_model.xml",),
            weights=("openvino_*.xml", "openvino_*.bin"),
            precedence=20,
        )
    ]


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Return the backend, which reads GGUF files and folders in OpenVINO IR (`optimum-cli export openvino`)."""
    return [
        BackendSpec(
            name="openvino",
            summary="OpenVINO: continuous batching on CPUs; reads GGUF files directly",
            factory=Ref("swift_plugin_openvino.backend:OpenvinoBackend"),
            options=Ref("swift_plugin_openvino.options:OpenvinoOptions"),
            engines=(ENGINE,),
            isolated=True,
            reads=("gguf", "openvino"),
        )
    ]


@hookimpl
def swift_exporters() -> list[ExporterSpec]:
    """Return the exporter to OpenVINO IR; its name differs from the backend's, since it has another environment."""
    return [
        ExporterSpec(
            name="openvino-ir",
            summary="OpenVINO IR with 32 to 4 bits per weight, for the openvino backend",
            factory=Ref("swift_plugin_openvino.exporter:OpenvinoExporter"),
            options=Ref("swift_plugin_openvino.export_options:OpenvinoExportOptions"),
            engines=(CONVERTER,),
            isolated=True,
            reads=("safetensors",),
            writes="openvino",
        )
    ]
