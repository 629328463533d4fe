"""What fsdp can't do, known from the run alone: nothing is loaded and no torch imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_train.strategy_checks import kind_of, quantized_weights, unsupported_device

from swift_core.specs import Problem

if TYPE_CHECKING:
    from swift_core.run import Run

_TUNERS = {
    "adalora": "AdaLoRA looks at whole gradients, which fsdp has cut",
    "vblora": "VB-LoRA's bank belongs to every block, and fsdp gathers the blocks one at a time",
}


def problems(run: Run) -> Iterator[Problem]:
    """Every reason against the run."""
    options = run.part("parallel").options
    yield from sizes(run.workers, options.get("shard_size"))
    yield from devices(str(run.options.get("device", "auto")), offload=bool(options.get("offload")))
    yield from quantized_weights("fsdp", run)
    if "tuner" in run.parts and (reason := _TUNERS.get(run.parts["tuner"].name)):
        yield Problem(where="tuner", message=reason, hint="Use --parallel ddp, or --tuner lora.")


def sizes(processes: int, shard_size: int | None) -> Iterator[Problem]:
    """Groups that don't divide the processes."""
    if shard_size and processes % shard_size:
        fit = ", ".join(str(size) for size in range(1, processes + 1) if processes % size == 0)
        message = f"{processes} processes can't be cut into groups of {shard_size}"
        yield Problem(where="parallel.shard_size", message=message, hint=f"Sizes that fit: {fit}.")


def devices(asked: str, *, offload: bool) -> Iterator[Problem]:
    """A device that fsdp, or offloading, is not for."""
    yield from unsupported_device("fsdp", asked)
    if offload and kind_of(asked) == "cpu":
        message = "offload moves weights from an accelerator to main memory, and this run has no accelerator"
        yield Problem(where="parallel.offload", message=message, hint="Leave it out: on a CPU they are in main memory anyway.")
