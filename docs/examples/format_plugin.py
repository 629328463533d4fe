"""A checkpoint format in a local plugin, config.json and weights.npz, and a verb that reads it: `swift --plugin FILE norms FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_core import hookimpl
from swift_core.contract import FormatSpec, Ref, Run, VerbSpec

SWIFT_EXAMPLES = Ref("format_plugin:examples")


@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Offer the format: such a folder is a checkpoint from now on, with an identity, like any other."""
    return [FormatSpec(name="npz", summary="NumPy arrays", recognised_by=("config.json", "weights.npz"), weights=("*.npz",))]


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer a verb for checkpoints in this format."""
    parts = {"options": Ref("swift_core.options:ModelOptions"), "job": Ref("format_plugin:norms")}
    return [VerbSpec(name="norms", summary="Print the norms of a checkpoint's arrays", takes=("checkpoint",), positional="model", **parts)]


def norms(run: Run, report: Any) -> dict[str, float]:
    """Compute the norms (the job: it runs in a worker, and returns figures)."""
    import numpy as np

    with np.load(Path(run.model.path) / "weights.npz", allow_pickle=False) as arrays:
        return {name: float(np.linalg.norm(arrays[name])) for name in arrays.files}


def examples() -> dict[str, Any]:
    """Return the files of a small checkpoint, with which `swift plugins check` tests the format."""
    from swift_testing.kit import Example

    files = {"config.json": b"{}", "weights.npz": b"PK\5\6" + bytes(18)}  # an archive without arrays
    return {"npz": Example(checkpoint=lambda _, folder: [(folder / name).write_bytes(text) for name, text in files.items()])}
