"""Trace two training steps and an evaluation of a run on fake tensors, with the run's own task, tuner, optimizer and strategy.

The second step is what all later ones need: the optimizer's state is there. Nothing is allocated, and nothing is computed.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from swift_train import head_loss, row_attention
from swift_train.activations import recompute_activations
from swift_train.adapters import inner_model
from swift_train.batches import RowBoundaries
from swift_train.build import attach, base_of, load_with
from swift_train.chunk_sizes import CHUNK, CPU_CHUNK
from swift_train.tasks import FusedLossTask
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import Module

from swift_core.checkpoints import family_of
from swift_core.contract import ParallelSpec, Run, TunerSpec, UsageError
from swift_core.plugins import registry
from swift_plan.blocks import block_list, counts, cut
from swift_plan.fakes import faking, make_fake, micro_batch, of_optimizer
from swift_plan.formula import bits_of
from swift_plan.ledger import Ledger
from swift_plan.media_inputs import media_of
from swift_plan.packed import pack
from swift_plan.trace import Peak, Trace, Work
from swift_plan.traced_task import TracedTask

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.micro import MicroMedia
    from swift_train.roles import Loaded
    from swift_train.strategy import Strategy
    from torch.optim import Optimizer

    from swift_core.contract import ModelFamily
    from swift_plan.workload import Workload

_STRATEGIES = ("ddp", "fsdp")  # torch's own, which run on fake tensors
_PASSES = 2  # passes of a step that are traced; more have the same peak


def trace(run: Run, work: Workload, dtype: str) -> Trace:
    """Trace a run's step; a model of many equal blocks is traced with two smaller numbers of them.

    Args:
        run: the run; its option `device` is the kind of device that is planned for.
        work: its largest pass.
        dtype: of the loaded weights.
    """
    if run.part("parallel").name not in _STRATEGIES and run.workers > 1:
        raise UsageError(f"the strategy '{run.part('parallel').name}' needs its processes", code="PLAN-012", where="parallel")
    if run.part("parallel").name not in _STRATEGIES:  # one process: what each of them does without others
        run = replace(run, parts={**run.parts, "parallel": registry().choose("parallel", _STRATEGIES[0])})
    chunk = CPU_CHUNK if run.options.get("device") in (None, "auto", "cpu") else CHUNK
    run = replace(run, adapters={}, options={**run.options, "device": "cpu", "dtype": dtype})
    with mock.patch.object(head_loss, "CPU_CHUNK", chunk):  # fake tensors are on a CPU
        return _of_blocks(run, work, dtype)


def _of_blocks(run: Run, work: Workload, dtype: str) -> Trace:
    family = family_of(base_of(run))
    loaded = _loaded(run, family, dtype)
    model: Any = loaded.model
    found = block_list(model, family.blocks)
    pair = counts(list(found[2]), model.config.get_text_config()) if found else None
    if found is None or pair is None:
        return _traced(run, family, loaded, work)
    few, more = pair
    cut(model, family.blocks, more)
    larger = _traced(run, family, loaded, work)
    smaller = _loaded(run, family, dtype)
    cut(smaller.model, family.blocks, few)
    return extended(_traced(run, family, smaller, work), larger, (len(found[2]) - few) / (more - few))


def extended(small: Trace, large: Trace, times: float) -> Trace:
    """Extend two traces linearly: `times` 1 is the large one."""

    def line(before: float, after: float) -> int:
        return round(before + (after - before) * times)

    peaks, work = {}, {}
    for name, after in large.peaks.items():
        before = small.peaks.get(name, after)
        parts = {part: max(0, line(before.parts.get(part, 0), size)) for part, size in after.parts.items()}
        peaks[name] = Peak(sum(parts.values()), parts)
    for name, done in large.work.items():
        first = small.work.get(name, done)
        work[name] = Work(line(first.flops, done.flops), line(first.bytes, done.bytes))
    return Trace(peaks, work, line(small.trained, large.trained), line(small.weights, large.weights))


def _loaded(run: Run, family: ModelFamily, dtype: str) -> Loaded:
    quantizer = run.parts.get("quantizer")
    loaded = load_with(run, device="meta", dtype=dtype, quantizer=None)
    if quantizer is not None:
        pack(loaded.model, bits_of(quantizer), (*family.skip_quantization, *quantizer.options.get("skip", ())))
    return loaded


def _traced(run: Run, family: ModelFamily, loaded: Loaded, work: Workload) -> Trace:
    module, tuner, task = _attached(run, loaded.model)
    media = media_of(work, loaded, task.options)
    several = len(work.lengths) > 1
    by_row = several and media is None and row_attention.applies_to(inner_model(module))
    if by_row:
        row_attention.install(inner_model(module))
    real = media is not None or by_row  # whole numbers
    ledger = Ledger()
    with ExitStack() as stack:
        shards = registry().spec(run.part("parallel"), ParallelSpec).shards
        stack.enter_context(_processes(run.workers if shards else 1))
        strategy: Strategy = replace(run.part("parallel"), options={**run.part("parallel").options, "device": "cpu"}).build()
        ledger.category = "weights"
        entered: list[Any] = []

        def load(device: torch.device) -> Module:  # what a strategy does before, such as a mesh of its processes, is no part of the trace
            if not entered:
                entered.append(stack.enter_context(faking(masked=several and not by_row, whole=real)))
                stack.enter_context(ledger)
                stack.enter_context(_resizing(ledger))
            return make_fake(module, torch.float32)

        made: list[Optimizer] = []

        def optimizer(built: Module) -> Optimizer:
            made.append(run.part("optimizer").build().build(tuner.parameter_groups(built), 1e-4))
            return made[-1]

        strategy.build(load, optimizer)
        gc.collect()  # tensors in cycles, which were replaced by shards
        adapter = registry().spec(run.part("tuner"), TunerSpec).trains == "adapter"
        ledger.follow(module, "adapter" if adapter else "weights")
        ledger.category = "inputs"
        _own_media(media, ledger)
        micro = micro_batch(work, media, shared=by_row and work.sequences > 1 and not task.whole_rows, real=real)
        if by_row:
            micro = replace(micro, boundaries=RowBoundaries.CU_SEQLENS)
        micros = [micro] * min(work.passes, _PASSES)
        fused = isinstance(task, FusedLossTask) and not strategy.fixed_shapes
        work_done = _steps(strategy, TracedTask(task, ledger, fused=fused), micros, made[0], family.blocks)
        whole = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        if work.passes > len(micros):
            factor = work.passes / len(micros)
            work_done = {name: _times(done, factor) if name != "update" else done for name, done in work_done.items()}
        return Trace(dict(ledger.peaks), work_done, whole, ledger.now["weights"])


def _own_media(media: MicroMedia | None, ledger: Ledger) -> None:
    for own in media.inputs if media else ():
        for tensor in own.values():
            ledger.own(tensor, "inputs")


def _attached(run: Run, model: Any) -> tuple[Module, Any, Any]:
    """Return the model with its tuner, the tuner and the task."""
    tuner, task = run.part("tuner").build(), run.part("task").build()
    module = attach(run, model, tuner)
    if task.options.gradient_checkpointing:
        recompute_activations(module, _elsewhere if task.options.activation_offload else None)
    return module, tuner, task


def _elsewhere() -> saved_tensors_hooks:
    """Enter a context in which saved tensors take no memory of the device that is planned for."""
    return saved_tensors_hooks(lambda tensor: (tensor.shape, tensor.dtype), lambda facts: torch.empty(facts[0], dtype=facts[1]))


def _steps(strategy: Any, traced: TracedTask, micros: list[Micro], optimizer: Optimizer, blocks: str) -> dict[str, Work]:
    """Do two steps, of which the second is kept, and an evaluation; return the arithmetic of the step."""
    ledger, scale = traced.ledger, 1 / micros[0].input_ids.numel()
    hooks = _follow_backward(strategy.module, ledger, blocks)
    for _ in range(2):
        ledger.work.clear()
        ledger.peaks.clear()
        ledger.segment = "forward"
        strategy.accumulate(micros, traced, scale)
        ledger.segment, ledger.category = "update", "temporary"
        strategy.update(1e-4, 1.0)
        for tensor in of_optimizer(optimizer):
            ledger.own(tensor, "optimizer")
    done = dict(ledger.work)
    ledger.segment, ledger.category = "save", "temporary"
    ledger.see()
    ledger.segment, traced.segments = "evaluate", False
    strategy.accumulate(micros[:1], traced, scale, train=False)
    for hook in hooks:
        hook.remove()
    return done


def _follow_backward(module: Module, ledger: Ledger, path: str) -> list[Any]:
    """Divide the backward pass by the blocks whose gradients are there: the last, those between, and the first with what is before it."""
    found = block_list(module, path)
    trained = [[weight for weight in block.parameters() if weight.requires_grad] for block in (found[2] if found else ())]
    known = [index for index, weights in enumerate(trained) if weights]
    last, first = max(known, default=0), min(known, default=0)

    def segment(index: int) -> Any:
        name = "backward end" if index == first else "backward top" if index == last else "backward middle"

        def enter(_: Tensor) -> None:
            ledger.segment = name

        return enter

    return [
        weight.register_post_accumulate_grad_hook(segment(index))  # type: ignore[no-untyped-call]
        for index, weights in enumerate(trained)
        for weight in weights
    ]


@contextmanager
def _processes(number: int) -> Iterator[None]:
    """Let a strategy believe that it is process 0 of so many: collectives are torch's fake ones."""
    if number == 1:
        yield
        return
    from torch import distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=number)
    try:
        with mock.patch.dict(os.environ, RANK="0", WORLD_SIZE=str(number), LOCAL_RANK="0", LOCAL_WORLD_SIZE=str(number)):
            yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def _resizing(ledger: Ledger) -> Iterator[None]:
    """Follow the storages that sharding empties and fills in place; nothing is received from another process."""
    from torch.distributed.fsdp._fully_shard import _fsdp_param

    def alloc(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        storage.resize_(tensor.numel() * tensor.itemsize)
        ledger.resized(storage, storage.size())

    def free(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        storage.resize_(0)
        ledger.resized(storage, 0)

    def receive(*_: object) -> None:
        """Receive nothing; a mock would keep the tensors that it is called with."""

    sharding = mock.patch.multiple(_fsdp_param, alloc_storage=alloc, free_storage=free)
    with sharding, mock.patch("swift_train.broadcast_loading._receive", receive):
        yield


def _times(work: Work, factor: float) -> Work:
    return Work(round(work.flops * factor), round(work.bytes * factor))
