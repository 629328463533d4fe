"""The worker job that computes a quantized checkpoint's logits in the environment of its engine.

If transformers can't load what a quantizer writes, the quantizer has `own_reader` and `load` (`roles.LoadableQuantizer`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import Ref
from swift_train.verify import save_logits

if TYPE_CHECKING:
    from swift_convert.roles import LoadableQuantizer

    from swift_core.contract import Run
    from swift_core.runs import Report

PREDICT_JOB = Ref("swift_train.verify_worker:predict_job")


def predict_job(run: Run, report: Report) -> tuple[None, dict[str, float]]:
    """Load the option `checkpoint` with the run's quantizer, and write its logits for the rows of `rows` into `output`."""
    del report
    checkpoint, file, out = (Path(run.options[name]) for name in ("checkpoint", "rows", "output"))
    rows = [json.loads(line)["ids"] for line in file.read_text(encoding="utf-8").splitlines()]
    return None, {"load_seconds": predict(run.part("quantizer").build(), checkpoint, rows, out)}


def predict(quantizer: LoadableQuantizer, checkpoint: Path, rows: Sequence[Sequence[int]], out: Path) -> float:
    """Write a checkpoint's logits for rows into a folder; return the seconds that loading took."""
    began = time.perf_counter()
    model: Any = quantizer.load(checkpoint)
    seconds = time.perf_counter() - began
    save_logits(model, rows, out)
    return seconds
