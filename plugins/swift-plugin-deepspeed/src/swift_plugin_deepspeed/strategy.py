"""ZeRO behind the Strategy contract: DeepSpeed's engine shards and offloads state, the training loop does the rest.

- The accumulation boundary is set before each forward pass: otherwise stages 1 and 2 silently accumulate wrong gradients.
- DeepSpeed averages gradients over the processes but the contract needs sums, so the loss is multiplied by their number.
- The optimizer is created before the weights are sharded, since the shapes of full weights decide which of them decay.
- If the loaded weights are bfloat16 or float16, the passes run in that type, and DeepSpeed keeps float32 master weights.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from swift_train.broadcast_loading import load_on_first_rank, materialize
from swift_train.ranks import all_reduce, compute_dtype, join, rank_and_size, rank_device, rng_states, set_rng_states
from swift_train.strategy import Update
from swift_train.training_state import group_settings, save_tensors, set_changed, set_learning_rate

from swift_core.contract import SwiftError, UsageError
from swift_plugin_deepspeed.config import engine_config, precision_of
from swift_plugin_deepspeed.ops import cpu_adam, disable_shared_memory
from swift_plugin_deepspeed.state import restore, state_of
from swift_plugin_deepspeed.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_deepspeed.options import ZeroOptions


class ZeroStrategy:
    """`swift_train.strategy.Strategy` over DeepSpeed ZeRO-1, 2 and 3."""

    fixed_shapes = False

    def __init__(self, options: ZeroOptions) -> None:
        self.options, self.stage = options, options.stage
        self.data_rank, self.data_size = rank_and_size()
        self.writer = self.data_rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, make the optimizer, shard, and verify the sharding. Under ZeRO-3, one process reads the weights."""
        deepspeed = self._start()
        full_readers = self.data_size
        if self.stage == 3:
            self.module, full_readers = load_on_first_rank(load, self.device)
        else:
            self.module = load(self.device)
        configured = precision_of(self.options)
        dtype: torch.dtype = getattr(torch, configured) if configured else compute_dtype(self.module)
        self.has_master_weights = dtype != torch.float32
        for parameter in self.module.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        made = optimizer(self.module)
        precision = str(dtype).removeprefix("torch.")
        config = engine_config(self.options, precision, _hidden_size(self.module))
        if "offload_optimizer" in config["zero_optimization"]:
            made = cpu_adam(made)
        if self.stage == 3:
            for part in reversed(list(self.module.modules())):  # inner modules first, so that few weights at a time are full
                for parameter in part.parameters(recurse=False):
                    materialize(parameter, self.device)
                deepspeed.zero.Init(module=part, config_dict_or_path=config)  # broadcasts from the first process, and shards
            for buffer in self.module.buffers():
                buffer.data = buffer.data.to(self.device)
        self.engine, self.zero, *_ = deepspeed.initialize(model=self.module, optimizer=made, config=config)
        self.placement = verify_sharding(self.engine, self.stage, self.data_size) | {"precision": precision, "full_readers": full_readers}
        self.settings = group_settings(self.zero.optimizer)
        # Update the loss scale after the step. DeepSpeed updates it before unscaling, which halves the gradient whenever the scale grows.
        self._update_scale: Callable[[bool], None] = self.zero._update_scale
        self.zero._update_scale = lambda overflow=False: None
        self.zero.loss_scaler.raise_error_at_min_scale = False  # the training loop reports it, with a hint

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over the processes."""
        return all_reduce(x, op, self.device)

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run the passes of a step; only the last micro-batch is an accumulation boundary."""
        self.engine.train(train)
        total = 0.0
        for index, micro in enumerate(micros):
            local = micro.to(self.device)
            if train:
                self.engine.set_gradient_accumulation_boundary(index == len(micros) - 1)
            with torch.set_grad_enabled(train):
                loss = task.loss(task.forward(self.engine, local), local)
            if train:
                self.engine.backward(loss * (weight * self.data_size), scale_wrt_gas=False)
            total += loss.item()
        return self.reduce(total, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip by the global gradient norm and step; if the norm is not finite, discard the gradients and skip the step."""
        set_learning_rate(self.zero, lr)
        self.zero.clip_grad = clip or 0.0
        self.engine.step()
        self._update_scale(self.zero.overflow)
        return Update(float(self.engine.get_global_grad_norm()), skipped=not self.engine.was_step_applied())

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield full parameters, trainable ones in float32; gathered one at a time."""
        import deepspeed

        for name, parameter in self.module.named_parameters():
            if names is not None and name not in names:
                continue
            if parameter.requires_grad and self.has_master_weights:
                yield name, deepspeed.utils.safe_get_full_fp32_param(parameter)
                continue
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.stage == 3):
                full = parameter.detach().clone()
            yield name, full

    def save(self, folder: Path) -> None:
        """Write one file per process. Collective."""
        metadata = {"stage": self.stage, "ranks": self.data_size, "settings": self.settings, "random": rng_states(self.device)}
        save_tensors(folder / f"zero-{self.data_rank}.pt", {**state_of(self.zero), **metadata})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, on the same number of processes. Collective."""
        first, own = (folder / f"zero-{rank}.pt" for rank in (0, self.data_rank))
        if not first.is_file():
            raise SwiftError(
                "this checkpoint was not written by ZeRO",
                code="PARALLEL-007",
                where=str(folder),
                hint="Resume with the strategy that wrote it.",
            )
        saved = torch.load(own if own.is_file() else first, map_location="cpu", weights_only=True)
        if (saved["stage"], saved["ranks"]) != (self.stage, self.data_size):
            raise SwiftError(
                f"this checkpoint was written by {saved['ranks']} processes of ZeRO-{saved['stage']} and can't be resharded; "
                f"this run has {self.data_size} of ZeRO-{self.stage}",
                code="PARALLEL-008",
                where=str(folder),
                hint="Resume with the same stage and number of processes, or start a new run from the checkpoint's model/.",
            )
        restore(self.zero, saved, self.data_rank, self.data_size)
        set_changed(self.zero, saved["settings"], self.settings)
        set_rng_states(saved["random"], self.device)

    def _start(self) -> Any:
        """Import and initialise DeepSpeed on the run's device; raise UsageError for settings that it refuses."""
        os.environ["DS_ACCELERATOR"] = self.device.type  # otherwise DeepSpeed takes the best device, whatever was requested
        os.environ.setdefault("LOCAL_RANK", "0")
        import deepspeed

        deepspeed.utils.logger.setLevel(logging.WARNING)
        disable_shared_memory()
        _check(self.options)
        join(self.device, timeout=self.options.timeout)
        deepspeed.init_distributed(dist.get_backend(), auto_mpi_discovery=False, verbose=False)
        return deepspeed


def _check(options: ZeroOptions) -> None:
    """Raise UsageError for settings that DeepSpeed itself refuses, before anything is loaded."""
    from deepspeed.accelerator import get_accelerator
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from pydantic import ValidationError

    accelerator: Any = get_accelerator()
    if precision_of(options) == "float16" and not accelerator.is_fp16_supported():
        hint = 'Use {"bf16": {"enabled": true}}, or remove both.'
        raise UsageError(
            f"DeepSpeed does not support float16 on this {accelerator.device_name()}",
            code="PARALLEL-009",
            where="parallel.config",
            hint=hint,
        )
    try:
        DeepSpeedZeroConfig(**engine_config(options, "float32")["zero_optimization"])
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False))
        raise UsageError(
            f"DeepSpeed refuses zero_optimization: {reasons}", code="PARALLEL-010", where="parallel.config", hint="Correct the JSON file."
        ) from None


def _hidden_size(module: Module) -> int | None:
    config: Any = getattr(module, "config", None)
    size: int | None = getattr(config.get_text_config(), "hidden_size", None) if hasattr(config, "get_text_config") else None
    return size
