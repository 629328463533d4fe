"""A checkpoint format in a local plugin, config.json and weights.npz, and a verb that reads it: `swift --plugin FILE norms FOLDER`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract import FormatSpec, Ref, UsageError, VerbSpec

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report

SWIFT_EXAMPLES = Ref("format_plugin:examples")


@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Offer the format: such a folder is a checkpoint from now on, with an identity, like any other."""
    files = {"recognised_by": ("config.json", "weights.npz"), "weights": ("*.npz",)}
    return [FormatSpec(name="npz", summary="NumPy arrays beside a config.json", check=Ref("format_plugin:check"), **files)]


def check(folder: Path) -> None:
    """Check that the archive is complete, before any work starts."""
    if not zipfile.is_zipfile(folder / "weights.npz"):
        raise UsageError("not an .npz archive, or truncated", where=str(folder / "weights.npz"), hint="Save it again with numpy.savez.")


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer a verb for checkpoints in this format."""
    parts = {"options": Ref("swift_core.options:ModelOptions"), "job": Ref("format_plugin:norms")}
    return [VerbSpec(name="norms", summary="Print the norms of a checkpoint's arrays", takes=("checkpoint",), positional="model", **parts)]


def norms(run: Run, report: Report) -> dict[str, float]:
    """Compute the norms (the job: it runs in a worker, and returns figures)."""
    import numpy as np

    with np.load(Path(run.model.path) / "weights.npz", allow_pickle=False) as arrays:
        return {name: float(np.linalg.norm(arrays[name])) for name in arrays.files}


def examples() -> dict[str, Any]:
    """Return what `swift plugins check` tests the format with: a function that writes a small checkpoint."""
    import numpy as np
    from swift_testing.kit import Example

    def write(_: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}", encoding="utf-8")
        np.savez(folder / "weights.npz", weight=np.ones((2, 2)))

    return {"npz": Example(checkpoint=write)}
