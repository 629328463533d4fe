"""What the checks share: the device, a training run on it, and its peak memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from swift_testing.rig import write_tiny_model
from swift_train.testing import run_training, training_run

from swift_core.contract import Run

WORDS = [
    "the",
    "capital",
    "of",
    "a",
    "country",
    "is",
    "where",
    "its",
    "people",
    "meet",
    "and",
    "write",
    "about",
    "weather",
    "reason",
    "question",
    "answer",
    "sentence",
    "help",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the checks run.

    Attributes:
        device: name of a torch device.
        small: use tiny models for what would else be measured on large ones.
        folder: for models, rows and runs.
    """

    device: str
    small: bool
    folder: Path

    @property
    def accelerator(self) -> bool:
        """True unless the device is a CPU."""
        return torch.device(self.device).type != "cpu"

    def model(self, **sizes: Any) -> Path:
        """Return a tiny random Llama checkpoint, made once."""
        folder = self.folder / ("model" + "".join(f"-{name}-{value}" for name, value in sorted(sizes.items())))
        return folder if folder.exists() else write_tiny_model(folder, **sizes)

    def rows(self, count: int = 64, words: int = 40) -> Path:
        """Return a file of chat rows of different lengths, made once."""
        path = self.folder / f"rows-{count}-{words}.jsonl"
        if not path.exists():
            path.write_text("".join(json.dumps(self._row(number, words)) + "\n" for number in range(count)), encoding="utf-8")
        return path

    def _row(self, number: int, words: int) -> dict[str, Any]:
        text = " ".join(WORDS[(number * 7 + at * 5 + at * at) % len(WORDS)] for at in range(words // 2 + number * 11 % words))
        return {"messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": text}]}

    def train(
        self, name: str, *, device: str = "", dtype: str = "float32", model: Path | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Train in this process; return the metrics of each step.

        Args:
            name: of the run folder.
            device, dtype: if other than the setting's and float32.
            model: if other than the tiny one.
            options: of `training_run`.
        """
        return run_training(self.run(device=device, dtype=dtype, model=model, **options), self.folder / name)

    def run(self, *, device: str = "", dtype: str = "float32", model: Path | None = None, **options: Any) -> Run:
        """Return the run that `train` does; the arguments are its own."""
        device = device or self.device
        plan = {"learning_rate": 1e-2, "batch_size": 4, "max_steps": 6, "max_length": 256, "truncation": "right", **options}
        verb = {"device": device, "dtype": dtype, **plan.pop("verb_options", {})}
        parallel = {"device": device}
        rows = plan.pop("rows", None) or self.rows()
        return training_run(model or self.model(), rows, verb_options=verb, parallel_options=parallel, **plan)

    def reset_peak(self) -> None:
        """Begin measuring the peak memory of the accelerator anew."""
        if self.accelerator:
            torch.accelerator.reset_peak_memory_stats(self.device)

    def peak(self) -> float:
        """Return the peak of allocated memory since `reset_peak`, in GiB; 0 on a CPU."""
        return torch.accelerator.max_memory_allocated(self.device) / 2**30 if self.accelerator else 0.0


def losses(metrics: list[dict[str, Any]]) -> list[float]:
    """Return the loss of each step."""
    return [float(step["loss"]) for step in metrics]


def largest_difference(one: list[float], other: list[float]) -> float:
    """Return the largest difference of two runs' losses. Raises AssertionError if they have different numbers of steps."""
    assert len(one) == len(other), f"{len(one)} steps against {len(other)}"
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
