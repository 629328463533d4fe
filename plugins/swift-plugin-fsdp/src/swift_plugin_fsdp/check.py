"""What fsdp can't do, known from the run alone: nothing is loaded and no torch imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoint import quantization_of, read_config
from swift_core.engines import device_kind
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
    yield from _quantized(run)
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
    kind = (device_kind() if asked == "auto" else asked).partition(":")[0]
    if kind == "mps":
        yield Problem(where="device", message="fsdp has no way to exchange weights on mps", hint="Use --device cpu, or --parallel ddp.")
    elif offload and kind == "cpu":
        message = "offload moves weights from an accelerator to main memory, and this run has no accelerator"
        yield Problem(where="parallel.offload", message=message, hint="Leave it out: on a CPU they are in main memory anyway.")


def _quantized(run: Run) -> Iterator[Problem]:
    """bnb, chosen by name or implied by the tuner, is refused by its own plugin; here are the others, and models stored in few bits."""
    hint = "Use --parallel ddp, or an unquantized model."
    quantizer = run.parts["quantizer"].name if "quantizer" in run.parts else ""
    if quantizer not in ("", "bnb"):
        yield Problem(where="parallel", message=f"fsdp can't cut weights that {quantizer} has quantized", hint=hint)
    form = quantization_of(read_config(Path(run.model.path))) if run.model and not quantizer else ""
    if form:
        yield Problem(where="parallel", message=f"fsdp can't cut the model's quantized weights ({form})", hint=hint)
