"""An importance matrix for llama.cpp's quantizer: the sums of squared input activations over a calibration set.

The file format is that of llama.cpp's `llama-imatrix`: two tensors per weight, `NAME.in_sum2` and `NAME.counts`, for all matrices but the
embeddings and the output layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import torch
from swift_train.build import base_of, load_base
from swift_train.calibration import calibration_rows

from swift_core.contract import Stopped, SwiftError, UsageError
from swift_core.system import atomic_folder
from swift_plugin_gguf.activation_stats import ActivationStats
from swift_plugin_gguf.plan import Names, Plan, make_plan

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report

FILE = "imatrix.gguf"
_ROUTER = ".ffn_gate_inp.weight"  # never quantized


class ImatrixExporter:
    """The `imatrix` exporter, which runs the model on a calibration set and records the inputs of its weights."""

    def __init__(self, options: None = None) -> None:
        del options
        self._stats: ActivationStats | None = None
        self._keys: dict[str, Any] = {}

    def calibrate(self, run: Run, report: Report) -> None:
        """Run the model on the run's calibration rows and collect the statistics.

        Raises:
            UsageError: the architecture has no GGUF layout, or there are too few rows or rows of another kind.
            SwiftError: a weight received no activations, or activations that are not finite.
            Stopped: a stop was requested.
        """
        plan = make_plan(Path(base_of(run).path))
        loaded, settings = load_base(run), run.options["calibration"]
        rows = calibration_rows(run, run.datasets, loaded, report, **settings, where="calibration.tokens")
        self._stats = _collect(loaded.model, rows, plan, report)
        self._keys = {
            "datasets": [choice.asked for choice in run.datasets],
            "chunk_count": len(rows),
            "chunk_size": settings["max_length"],
        }

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write `imatrix.gguf` into the folder `out`, and return its path.

        Raises:
            UsageError: the architecture has no GGUF layout, or `calibrate` was not run.
        """
        arch = make_plan(checkpoint).layout.arch
        if self._stats is None:
            raise UsageError("no calibration rows", code="EXPORT-018", where="dataset", hint="Pass a dataset: --dataset FILE.")
        with atomic_folder(out) as folder:
            writer = gguf.GGUFWriter(folder / FILE, arch)
            writer.add_type("imatrix")
            writer.add_array("imatrix.datasets", self._keys["datasets"])
            for key in ("chunk_count", "chunk_size"):
                writer.add_uint32(f"imatrix.{key}", self._keys[key])
            for name, sums in sorted(self._stats.sums.items()):
                writer.add_tensor(f"{name}.in_sum2", sums.cpu().numpy())
                writer.add_tensor(f"{name}.counts", self._stats.counts[name].cpu().numpy()[:, None])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
        return out / FILE


@torch.no_grad()
def _collect(model: Any, rows: Sequence[Any], plan: Plan, report: Report) -> ActivationStats:
    """Collect the activation statistics of each block's weights over the rows, one row per forward pass."""
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    names = Names(plan.layout, int(plan.config["num_hidden_layers"]))
    stats = ActivationStats(model.eval(), lambda name: found if (found := names.of(name)) and found.startswith("blk.") else None)
    for number, row in enumerate(rows):
        report.progress("calibrate", number, len(rows), unit="rows")
        if report.stop_requested:
            raise Stopped("stopped", code="EXPORT-019", where=str(report.folder))
        with stats:
            model(input_ids=torch.tensor(np.asarray(row)[None], dtype=torch.long, device=model.device), use_cache=False)
    report.progress("calibrate", len(rows), len(rows), unit="rows")
    for target in plan.targets:
        if len(target.shape) > 1 and target.name.startswith("blk.") and not target.name.endswith(_ROUTER):
            _check(target.name, stats, str(plan.checkpoint))
    return stats


def _check(name: str, stats: ActivationStats, where: str) -> None:
    if name not in stats.counts or not stats.counts[name].any():
        raise SwiftError(
            f"{name} received no activations", code="EXPORT-020", where=where, hint="Compute the matrix with llama.cpp's llama-imatrix."
        )
    if not stats.sums[name].isfinite().all():
        hint = "Training has diverged: use an earlier checkpoint."
        raise SwiftError(f"the inputs of {name} are not finite", code="EXPORT-021", where=where, hint=hint)
