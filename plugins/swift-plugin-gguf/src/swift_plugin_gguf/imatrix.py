"""An importance matrix for llama.cpp's quantizer: how much each column of a weight counts, by what goes into it on real rows.

The file is llama.cpp's own: two tensors a weight, `NAME.in_sum2` and `NAME.counts`. As `llama-imatrix` does, it leaves the embeddings and
the head out.
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

from swift_core.errors import Stopped, SwiftError, UsageError
from swift_core.paths import atomic_folder
from swift_plugin_gguf.activation_stats import ActivationStats
from swift_plugin_gguf.plan import Names, Plan, make_plan

if TYPE_CHECKING:
    from swift_core.reporting import Report
    from swift_core.run import Run

FILE = "imatrix.gguf"
_ROUTER = ".ffn_gate_inp.weight"  # never quantized


class ImatrixExporter:
    """Lets the model read rows, and writes what it has seen of its weights' inputs."""

    predicts = False

    def __init__(self, options: None = None) -> None:
        del options
        self._inputs: ActivationStats | None = None
        self._keys: dict[str, Any] = {}

    def calibrate(self, run: Run, report: Report) -> None:
        """Let the model read the run's rows.

        Raises:
            UsageError: an architecture without a layout, or rows that are too few or of another kind.
            SwiftError: a weight has seen nothing, or what went into it is no number.
            Stopped: a stop was asked for.
        """
        plan = make_plan(Path(base_of(run).path))
        loaded, asked = load_base(run), run.options["calibration"]
        rows = calibration_rows(run, run.datasets, loaded, report, **asked, where="calibration.tokens")
        self._inputs = _read(loaded.model, rows, plan, report)
        self._keys = {"datasets": [choice.asked for choice in run.datasets], "chunk_count": len(rows), "chunk_size": asked["max_length"]}

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write `imatrix.gguf` into the folder `out`, and return it.

        Raises:
            UsageError: an architecture without a layout, or no rows.
        """
        arch = make_plan(checkpoint).layout.arch
        if self._inputs is None:
            raise UsageError("there are no rows to calibrate with", where="dataset", hint="Name rows: --dataset FILE.")
        with atomic_folder(out) as folder:
            writer = gguf.GGUFWriter(folder / FILE, arch)
            writer.add_type("imatrix")
            writer.add_array("imatrix.datasets", self._keys["datasets"])
            for key in ("chunk_count", "chunk_size"):
                writer.add_uint32(f"imatrix.{key}", self._keys[key])
            for name, sums in sorted(self._inputs.sums.items()):
                writer.add_tensor(f"{name}.in_sum2", sums.cpu().numpy())
                writer.add_tensor(f"{name}.counts", self._inputs.counts[name].cpu().numpy()[:, None])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
        return out / FILE


@torch.no_grad()
def _read(model: Any, rows: Sequence[Any], plan: Plan, report: Report) -> ActivationStats:
    """What goes into the weights of each block while the model reads the rows."""
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    names = Names(plan.layout, int(plan.config["num_hidden_layers"]))
    inputs = ActivationStats(model.eval(), lambda name: found if (found := names.of(name)) and found.startswith("blk.") else None)
    for number, row in enumerate(rows):
        report.progress("read", number, len(rows), unit="rows")
        if report.stop_requested:
            raise Stopped("stopped", where=str(report.folder))
        with inputs:
            model(input_ids=torch.tensor(np.asarray(row)[None], dtype=torch.long, device=model.device), use_cache=False)
    report.progress("read", len(rows), len(rows), unit="rows")
    for target in plan.targets:
        if len(target.shape) > 1 and target.name.startswith("blk.") and not target.name.endswith(_ROUTER):
            _check(target.name, inputs, str(plan.checkpoint))
    return inputs


def _check(name: str, inputs: ActivationStats, where: str) -> None:
    if name not in inputs.counts or not inputs.counts[name].any():
        raise SwiftError(f"nothing was seen of what goes into {name}", where=where, hint="Make the matrix with llama.cpp's llama-imatrix.")
    if not inputs.sums[name].isfinite().all():
        hint = "The training that wrote the checkpoint went wrong: take an earlier one."
        raise SwiftError(f"what goes into {name} is no number", where=where, hint=hint)
