"""The factory of mesh strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_plugin_mesh.pipeline_parallel import PipelineStrategy
from swift_plugin_mesh.tensor_context import TensorContextStrategy

if TYPE_CHECKING:
    from swift_plugin_mesh.base import MeshStrategy
    from swift_plugin_mesh.options import MeshOptions


def mesh_strategy(options: MeshOptions) -> MeshStrategy:
    """Return the pipeline strategy if there are several stages, else the one of tensor and context parallelism."""
    return PipelineStrategy(options) if options.pipeline > 1 else TensorContextStrategy(options)
