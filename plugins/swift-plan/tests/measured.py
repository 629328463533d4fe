"""What a run's first steps really allocate: the model's storages, and what torch's profiler sees on top of them.

The profiler does not see what the loader's threads allocate, so the model is summed up instead.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import torch
from swift_plan.fakes import micro_batch
from swift_plan.media_inputs import media_of
from swift_train import row_attention
from swift_train.adapters import inner_model
from swift_train.batches import RowBoundaries
from swift_train.build import attach, load_base
from swift_train.tasks import FusedLossTask


def step_peak(run, work):
    """The peak of two training steps in bytes, the model included."""
    run = replace(run, options={**run.options, "device": "cpu"})
    tuner, task = run.part("tuner").build(), run.part("task").build()
    strategy = run.part("parallel").build()

    loaded = load_base(run, "cpu")
    media = media_of(work, loaded, task.options)

    def load(device):
        module = attach(run, loaded.model, tuner)
        if task.options.gradient_checkpointing:
            inner_model(module).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return module

    strategy.build(load, lambda module: run.part("optimizer").build().build(tuner.parameter_groups(module), 1e-4))
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        micro = micro_batch(work, media)
        if len(work.lengths) > 1 and row_attention.applies_to(inner_model(strategy.module)):
            row_attention.install(inner_model(strategy.module))
            micro = replace(micro, boundaries=RowBoundaries.CU_SEQLENS)
        micros = [micro] * min(work.passes, 2)
        for _ in range(2):
            strategy.accumulate(micros, _Fused(task) if isinstance(task, FusedLossTask) else task, 1 / work.tokens)
            strategy.update(1e-4, 1.0)
    events = profile.profiler.kineto_results.events()
    now = peak = _size(strategy.module) + sum(value.nbytes for own in (media.inputs[:1] if media else ()) for value in own.values())
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        now += size
        peak = max(peak, now)
    return peak


class _Fused:
    """Forward pass and loss as one, as training computes them."""

    def __init__(self, task):
        self.task = task

    def forward(self, model, micro):
        return self.task.forward_loss(model, micro)

    def loss(self, output, micro):
        return output


def _size(module):
    tensors = [*module.parameters(), *module.buffers(), *_states(module)]
    return sum({tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def _states(module):
    """The scales of bitsandbytes' weights, which are neither parameters nor buffers."""
    for parameter in module.parameters():
        state = getattr(parameter, "quant_state", None)
        for each in (state, getattr(state, "state2", None)):
            if each is not None:
                yield from (value for value in vars(each).values() if isinstance(value, torch.Tensor))
