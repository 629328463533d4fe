"""What several strategies refuse alike, for the checks of their plugins: no torch is imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoints.manifest import quantization_of, read_config
from swift_core.contract.specs import Problem
from swift_core.plugins.engines import device_kind, state
from swift_core.plugins.registry import registry

if TYPE_CHECKING:
    from swift_core.contract.run import Choice, Run


def kind_of(device: str) -> str:
    """The kind of device that an option asks for: cpu, cuda, mps, …"""
    return (device_kind() if device == "auto" else device).partition(":")[0]


def missing_engine(choice: Choice, how: str = "pip install") -> Iterator[Problem]:
    """A strategy whose engine is not installed; `how` begins the command that installs it."""
    found = state(registry().spec(choice), choice.distribution)
    if not found.present:
        hint = " ".join((how, *map(repr, found.missing)))
        yield Problem(where="parallel", message=f"'{choice.name}' needs {', '.join(found.missing)}, which is not installed", hint=hint)


def unsupported_device(who: str, device: str, hint: str = "Use --device cpu, or --parallel ddp.") -> Iterator[Problem]:
    """A device over which torch has no way to exchange weights."""
    if kind_of(device) == "mps":
        yield Problem(where="device", message=f"{who} has no way to exchange weights on mps", hint=hint)


def quantized_weights(who: str, run: Run) -> Iterator[Problem]:
    """Weights in few bits: bnb, by name or implied by the tuner, is refused by its own plugin; here are the others, and stored models."""
    hint = "Use --parallel ddp, or an unquantized model."
    quantizer = run.parts["quantizer"].name if "quantizer" in run.parts else ""
    if quantizer not in ("", "bnb"):
        yield Problem(where="parallel", message=f"{who} can't cut weights that {quantizer} has quantized", hint=hint)
    form = quantization_of(read_config(Path(run.model.path))) if run.model and not quantizer else ""
    if form:
        yield Problem(where="parallel", message=f"{who} can't cut the model's quantized weights ({form})", hint=hint)
