"""Which strategy a mesh is: with stages, or of layers that are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_plugin_mesh.pipeline_parallel import PipelineStrategy
from swift_plugin_mesh.tensor_context import TensorContextStrategy

if TYPE_CHECKING:
    from swift_plugin_mesh.base import MeshStrategy
    from swift_plugin_mesh.options import MeshOptions


def mesh_strategy(options: MeshOptions) -> MeshStrategy:
    """The strategy for a mesh of those sizes."""
    return PipelineStrategy(options) if options.pipeline > 1 else TensorContextStrategy(options)
