"""ZeRO behind the Strategy contract: DeepSpeed's engine cuts and moves state, the training loop does the rest.

- Micro-batches are announced before their forward pass: without that, stages 1 and 2 add up other gradients, silently.
- DeepSpeed averages over the processes and must be given sums, so the loss is multiplied by their number.
- The optimizer is made on whole weights, before they are cut: which weights decay is told by their shapes.
- Where the loaded weights are bfloat16 or float16, so are the passes, and DeepSpeed keeps what learns in float32 beside them.
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

from swift_core.errors import SwiftError, UsageError
from swift_plugin_deepspeed.config import engine_config, precision_of
from swift_plugin_deepspeed.ops import cpu_adam, leave_out_shared_memory
from swift_plugin_deepspeed.state import restore, state_of
from swift_plugin_deepspeed.verification import verify_sharding

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import LossTask
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_deepspeed.options import ZeroOptions


class ZeroStrategy:
    """`swift_train.strategy.Strategy` over DeepSpeed's ZeRO-1, 2 and 3."""

    fixed_shapes = False

    def __init__(self, options: ZeroOptions) -> None:
        self.options, self.stage = options, options.stage
        self.data_rank, self.data_size = rank_and_size()
        self.writer = self.data_rank == 0
        self.device = rank_device(options.device)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, make the optimizer, shard, and verify the sharding. Under ZeRO-3 one process reads the weights."""
        deepspeed = self._start()
        whole = self.data_size
        if self.stage == 3:
            self.module, whole = load_on_first_rank(load, self.device)
        else:
            self.module = load(self.device)
        asked = precision_of(self.options)
        kind: torch.dtype = getattr(torch, asked) if asked else compute_dtype(self.module)
        self.rounded = kind != torch.float32
        for parameter in self.module.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(kind)
        made = optimizer(self.module)
        precision = str(kind).removeprefix("torch.")
        config = engine_config(self.options, precision, _hidden_size(self.module))
        if "offload_optimizer" in config["zero_optimization"]:
            made = cpu_adam(made)
        if self.stage == 3:
            for part in reversed(list(self.module.modules())):  # the inner ones first, so that few weights at a time are whole
                for parameter in part.parameters(recurse=False):
                    materialize(parameter, self.device)
                deepspeed.zero.Init(module=part, config_dict_or_path=config)  # takes each from the first process, and cuts it
            for buffer in self.module.buffers():
                buffer.data = buffer.data.to(self.device)
        self.engine, self.zero, *_ = deepspeed.initialize(model=self.module, optimizer=made, config=config)
        self.placement = verify_sharding(self.engine, self.stage, self.data_size) | {"precision": precision, "loaded_whole": whole}
        self.settings = group_settings(self.zero.optimizer)
        # The scale is moved after the step. DeepSpeed moves it before it divides by it, and halves the gradient whenever it grows.
        self._move_scale: Callable[[bool], None] = self.zero._update_scale
        self.zero._update_scale = lambda overflow=False: None
        self.zero.loss_scaler.raise_error_at_min_scale = False  # the loop says so, with what to do

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum or largest over the processes."""
        return all_reduce(x, op, self.device)

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Passes of a step, each announced as the last one or not."""
        self.engine.train(train)
        total = 0.0
        for index, micro in enumerate(micros):
            moved = micro.to(self.device)
            if train:
                self.engine.set_gradient_accumulation_boundary(index == len(micros) - 1)
            with torch.set_grad_enabled(train):
                loss = task.loss(task.forward(self.engine, moved), moved)
            if train:
                self.engine.backward(loss * (weight * self.data_size), scale_wrt_gas=False)
            total += loss.item()
        return self.reduce(total, "sum") * weight

    def update(self, lr: float, clip: float | None) -> Update:
        """Clip and step; a gradient that is not finite is forgotten."""
        set_learning_rate(self.zero, lr)
        self.zero.clip_grad = clip or 0.0
        self.engine.step()
        self._move_scale(self.zero.overflow)
        return Update(float(self.engine.get_global_grad_norm()), skipped=not self.engine.was_step_applied())

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Each parameter whole, what learns in float32. Gathered one after the other."""
        import deepspeed

        for name, parameter in self.module.named_parameters():
            if names is not None and name not in names:
                continue
            if parameter.requires_grad and self.rounded:
                yield name, deepspeed.utils.safe_get_full_fp32_param(parameter)
                continue
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.stage == 3):
                whole = parameter.detach().clone()
            yield name, whole

    def save(self, folder: Path) -> None:
        """One file a process."""
        facts = {"stage": self.stage, "ranks": self.data_size, "settings": self.settings, "random": rng_states(self.device)}
        save_tensors(folder / f"zero-{self.data_rank}.pt", {**state_of(self.zero), **facts})

    def load(self, folder: Path) -> None:
        """The inverse of `save`, on as many processes as wrote it."""
        first, own = (folder / f"zero-{rank}.pt" for rank in (0, self.data_rank))
        if not first.is_file():
            raise SwiftError("this checkpoint is not ZeRO's", where=str(folder), hint="Resume with the strategy that wrote it.")
        saved = torch.load(own if own.is_file() else first, map_location="cpu", weights_only=True)
        if (saved["stage"], saved["ranks"]) != (self.stage, self.data_size):
            raise SwiftError(
                f"this checkpoint was written by {saved['ranks']} processes of ZeRO-{saved['stage']}, and its parts can't be cut anew; "
                f"this run has {self.data_size} of ZeRO-{self.stage}",
                where=str(folder),
                hint="Resume with as many as before; or start anew from the checkpoint's model/.",
            )
        restore(self.zero, saved, self.data_rank, self.data_size)
        set_changed(self.zero, saved["settings"], self.settings)
        set_rng_states(saved["random"], self.device)

    def _start(self) -> Any:
        """DeepSpeed, told its device and its fellow processes. Raises UsageError for what it refuses, before anything is loaded."""
        os.environ["DS_ACCELERATOR"] = self.device.type  # else it takes the best there is, whatever was asked for
        os.environ.setdefault("LOCAL_RANK", "0")
        import deepspeed

        deepspeed.utils.logger.setLevel(logging.WARNING)
        leave_out_shared_memory()
        _check(self.options)
        join(self.device, timeout=self.options.timeout)
        deepspeed.init_distributed(dist.get_backend(), auto_mpi_discovery=False, verbose=False)
        return deepspeed


def _check(options: ZeroOptions) -> None:
    """What only DeepSpeed itself knows, before anything is loaded."""
    from deepspeed.accelerator import get_accelerator
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from pydantic import ValidationError

    accelerator: Any = get_accelerator()
    if precision_of(options) == "float16" and not accelerator.is_fp16_supported():
        hint = 'Use {"bf16": {"enabled": true}}, or neither.'
        raise UsageError(f"DeepSpeed computes no float16 on this {accelerator.device_name()}", where="parallel.config", hint=hint)
    try:
        DeepSpeedZeroConfig(**engine_config(options, "float32")["zero_optimization"])
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False))
        raise UsageError(f"DeepSpeed refuses zero_optimization: {wrong}", where="parallel.config", hint="Mend the JSON file.") from None


def _hidden_size(module: Module) -> int | None:
    config: Any = getattr(module, "config", None)
    size: int | None = getattr(config.get_text_config(), "hidden_size", None) if hasattr(config, "get_text_config") else None
    return size
