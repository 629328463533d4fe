"""A checkpoint format in a local plugin, config.json and weights.npz, and a verb that reads it: `swift --plugin FILE norms FOLDER`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract import FormatSpec, Ref, UsageError, VerbSpec

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report

SWIFT_EXAMPLES = Ref("format_plugin:examples")


# -- start swift_formats --
@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Offer the format: such a folder is a checkpoint from now on, with an identity, like any other."""
    files = {"recognised_by": ("config.json", "weights.npz"), "weights": ("*.npz",)}
    return [FormatSpec(name="npz", summary="NumPy arrays beside a config.json", check=Ref("format_plugin:check"), **files)]


def check(folder: Path) -> None:
    """Check that the archive is complete, before any work starts."""
    if not zipfile.is_zipfile(folder / "weights.npz"):
        raise UsageError("not an .npz archive, or truncated", where=str(folder / "weights.npz"), hint="Save it again with numpy.savez.")


# -- end swift_formats --


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer a verb for checkpoints in this format."""
    options, job = Ref("swift_core.options:ModelOptions"), Ref("format_plugin:norms")
    shared: dict[str, Any] = {"takes": ("checkpoint",), "gives": "file", "positional": "model"}
    return [VerbSpec(name="norms", summary="Print the norms of an npz checkpoint's tensors", options=options, job=job, **shared)]


def norms(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Compute the norms (the job: it runs in a worker)."""
    import numpy as np

    assert run.model is not None
    with np.load(Path(run.model.path) / "weights.npz", allow_pickle=False) as arrays:
        found = {name: float(np.linalg.norm(arrays[name])) for name in arrays.files}
    output = report.folder / "norms.json"
    output.write_text(json.dumps(found), encoding="utf-8")
    return output, found


def examples() -> dict[str, Any]:
    """Return what `swift plugins check` tests the format with: a function that writes a small checkpoint."""
    import numpy as np
    from swift_testing.kit import Example

    def write(_: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}", encoding="utf-8")
        np.savez(folder / "weights.npz", weight=np.ones((2, 2)))

    return {"npz": Example(checkpoint=write)}
