"""A checkpoint format in a local plugin (config.json and weights.npz), and a verb that reads it.

`swift --plugin docs/examples/format_plugin.py norms FOLDER` prints the norm of each tensor.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract import FormatSpec, Ref, UsageError, VerbSpec
from swift_core.options import ModelOptions, option

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report

SWIFT_EXAMPLES = Ref("format_plugin:examples")


class NormsOptions(ModelOptions):
    """Options of swift norms."""

    digits: int = option(3, "Significant digits of each norm.", ge=1)


# -- start swift_formats --
@hookimpl
def swift_formats() -> list[FormatSpec]:
    """Offer the format: from now on such a folder is a checkpoint, with an identity, like any other."""
    return [
        FormatSpec(
            name="npz",
            summary="NumPy arrays in weights.npz, beside a config.json",
            recognised_by=("config.json", "weights.npz"),
            weights=("*.npz",),
            check=Ref("format_plugin:check"),
        )
    ]


# -- end swift_formats --


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer a verb for checkpoints in this format."""
    return [
        VerbSpec(
            name="norms",
            summary="Print the norm of each tensor of an npz checkpoint",
            options=Ref("format_plugin:NormsOptions"),
            takes=("checkpoint",),
            gives="file",
            positional="model",
            job=Ref("format_plugin:norms"),
        )
    ]


def check(folder: Path) -> None:
    """Check that weights.npz is a complete archive."""
    if not zipfile.is_zipfile(folder / "weights.npz"):
        raise UsageError("not an .npz archive, or truncated", where=str(folder / "weights.npz"), hint="Save it again with numpy.savez.")


def norms(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Compute the norms (the job: it runs in a worker)."""
    import numpy as np

    with np.load(Path(run.model.path) / "weights.npz", allow_pickle=False) as arrays:
        found = {name: float(f"{np.linalg.norm(arrays[name]):.{run.options['digits']}g}") for name in arrays.files}
    output = report.folder / "norms.json"
    output.write_text(json.dumps(found), encoding="utf-8")
    return output, found


def examples() -> dict[str, Any]:
    """Return what `swift plugins check` tests the format with: a function that writes a small checkpoint in it."""
    import numpy as np
    from swift_testing.kit import Example

    def write(source: Path, folder: Path) -> None:
        (folder / "config.json").write_text('{"model_type": "linear"}', encoding="utf-8")
        np.savez(folder / "weights.npz", weight=np.ones((2, 2)), bias=np.zeros(2))

    return {"npz": Example(checkpoint=write)}
