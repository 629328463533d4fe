"""Checks of a run that uses fsdp, from the run alone: nothing is loaded and torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_train.strategy_checks import kind_of, quantized_weights, sharded_optimizer, unsupported_device

from swift_core.contract import Problem

if TYPE_CHECKING:
    from swift_core.contract import Run

_TUNERS = {
    "adalora": "AdaLoRA needs whole gradients, which fsdp shards",
    "vblora": "VB-LoRA's vector bank is shared by all blocks, but fsdp gathers one block at a time",
}


def problems(run: Run) -> Iterator[Problem]:
    """Yield every reason why fsdp can't carry out the run."""
    options = run.part("parallel").options
    yield from check_shard_size(run.workers, options.get("shard_size"))
    yield from check_device(str(run.options.get("device", "auto")), offload=bool(options.get("offload")))
    yield from quantized_weights("fsdp", run)
    yield from sharded_optimizer("fsdp", run)
    if "tuner" in run.parts and (reason := _TUNERS.get(run.parts["tuner"].name)):
        yield Problem(code="PARALLEL-012", where="tuner", message=reason, hint="Use --parallel ddp, or --tuner lora.")


def check_shard_size(processes: int, shard_size: int | None) -> Iterator[Problem]:
    """Yield a problem if `shard_size` does not divide the number of processes."""
    if shard_size and processes % shard_size:
        valid = ", ".join(str(size) for size in range(1, processes + 1) if processes % size == 0)
        message = f"shard_size {shard_size} does not divide the {processes} processes"
        yield Problem(code="PARALLEL-013", where="parallel.shard_size", message=message, hint=f"Choose one of: {valid}.")


def check_device(device: str, *, offload: bool) -> Iterator[Problem]:
    """Yield a problem if fsdp, or offloading, does not support the device."""
    yield from unsupported_device("fsdp", device)
    if offload and kind_of(device) == "cpu":
        message = "offload moves state from an accelerator to main memory, but this run has no accelerator"
        yield Problem(code="PARALLEL-014", where="parallel.offload", message=message, hint="Omit --parallel.offload.")
