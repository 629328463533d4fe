"""The processes as megatron-core groups them."""

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

_MINUTES = 30.0  # torch's own; the loop ends a run that hangs before, and says who hangs


def start(device: torch.device, sizes: Sizes, timeout: float) -> None:
    """Meet the other processes, and let megatron-core group them."""
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
    # megatron-core's own dropout is off here, so no stream of random numbers has to be kept; the other tracker wants CUDA
    initialize_rng_tracker(inference_rng_tracker=True, force_reset=True)


def tensor() -> dist.ProcessGroup:
    """Processes that share each layer."""
    return parallel_state.get_tensor_model_parallel_group()


def context() -> dist.ProcessGroup:
    """Processes that share the tokens of the same rows."""
    return parallel_state.get_context_parallel_group()


def data() -> dist.ProcessGroup:
    """Processes that have other rows each, and the same place otherwise."""
    return parallel_state.get_data_parallel_group()


def copies() -> dist.ProcessGroup:
    """Processes with the same part of the model: those of other rows, and those of other tokens."""
    return parallel_state.get_data_parallel_group(with_context_parallel=True)


def pipeline() -> dist.ProcessGroup:
    """Processes of one copy with the stages one after the other."""
    return parallel_state.get_pipeline_model_parallel_group()


def ends() -> dist.ProcessGroup:
    """The first and the last stage, where a tied head's weights are."""
    return parallel_state.get_embedding_group()


def experts() -> dist.ProcessGroup:
    """Processes over which the experts of a layer are dealt out."""
    return parallel_state.get_expert_model_parallel_group()


def copies_of_experts() -> dist.ProcessGroup:
    """Processes that have the same experts."""
    return parallel_state.get_expert_data_parallel_group()
