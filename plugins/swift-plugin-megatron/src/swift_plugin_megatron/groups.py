"""The process groups of megatron-core."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch.distributed as dist
from swift_train.ranks import join

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from megatron.core import parallel_state
    from megatron.core.tensor_parallel.random import initialize_rng_tracker

if TYPE_CHECKING:
    import torch

    from swift_plugin_megatron.sizes import Sizes

_MINUTES = 30.0  # torch's default; the training loop ends a run that hangs earlier, and names the rank that hangs


def initialize(device: torch.device, sizes: Sizes, timeout: float) -> None:
    """Join the other processes, and let megatron-core create its groups. Collective.

    Args:
        timeout: seconds after which a collective operation fails.
    """
    join(device, timeout=timeout)
    parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=sizes.tensor,
        context_parallel_size=sizes.context,
        pipeline_model_parallel_size=sizes.pipeline,
        virtual_pipeline_model_parallel_size=sizes.chunks if sizes.chunks > 1 else None,
        expert_model_parallel_size=sizes.expert,
        expert_tensor_parallel_size=1,
        distributed_timeout_minutes=int(max(_MINUTES, 2 * timeout / 60)),
        create_gloo_process_groups=False,
    )
    # megatron-core's own dropout is disabled, so its random states need not be saved; its other tracker requires CUDA
    initialize_rng_tracker(inference_rng_tracker=True, force_reset=True)


def tensor() -> dist.ProcessGroup:
    """Return the tensor-parallel group: processes that share each layer."""
    group: dist.ProcessGroup = parallel_state.get_tensor_model_parallel_group()
    return group


def context() -> dist.ProcessGroup:
    """Return the context-parallel group: processes that share the tokens of the same rows."""
    group: dist.ProcessGroup = parallel_state.get_context_parallel_group()
    return group


def data() -> dist.ProcessGroup:
    """Return the data-parallel group: processes with different rows and the same position in all other groups."""
    group: dist.ProcessGroup = parallel_state.get_data_parallel_group()
    return group


def replicas() -> dist.ProcessGroup:
    """Return the data- and context-parallel group: processes that hold the same shard of the model."""
    group: dist.ProcessGroup = parallel_state.get_data_parallel_group(with_context_parallel=True)
    return group


def pipeline() -> dist.ProcessGroup:
    """Return the pipeline-parallel group: the consecutive stages of one replica."""
    group: dist.ProcessGroup = parallel_state.get_pipeline_model_parallel_group()
    return group


def embedding() -> dist.ProcessGroup:
    """Return the group of the first and the last stage, which both hold a tied embedding."""
    group: dist.ProcessGroup = parallel_state.get_embedding_group()
    return group


def experts() -> dist.ProcessGroup:
    """Return the expert-parallel group: processes that the experts of a layer are distributed over."""
    group: dist.ProcessGroup = parallel_state.get_expert_model_parallel_group()
    return group


def expert_replicas() -> dist.ProcessGroup:
    """Return the expert-data-parallel group: processes that hold the same experts."""
    group: dist.ProcessGroup = parallel_state.get_expert_data_parallel_group()
    return group
