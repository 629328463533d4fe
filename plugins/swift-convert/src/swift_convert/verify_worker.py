"""Compute the predictions and the tokenisation of an exported model in its engine's environment, which may have neither torch nor NumPy.

Questions are JSON lines: `{"ids": [...]}` asks for the logits of a row of tokens, `{"text": "..."}` for the tokens of a rendered
conversation. The logits are written to a safetensors file: float32 tensors `0`, `1`, … in the order of the rows, [tokens, vocabulary].
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.roles import TrustingExporter
from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from swift_convert.roles import Exported, LoadableExporter
    from swift_core.contract import Run
    from swift_core.runs import Report


def answer(exporter: LoadableExporter, exported: Path, questions: Path, logits: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Load an export and answer a file of questions.

    Args:
        exporter: the exporter, which loads its results.
        exported: the path of the export.
        questions: the JSONL file of questions.
        logits: the safetensors file to write.
        trusted: allow code in the export to run.

    Returns:
        `load_seconds`, and `texts`: the token ids of each text.

    Raises:
        NotImplementedError: the engine can't load it.
    """
    asked = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    began = time.perf_counter()
    loaded = exporter.load_trusted(exported) if trusted and isinstance(exporter, TrustingExporter) else exporter.load(exported)
    seconds = time.perf_counter() - began
    write_logits(loaded, [item["ids"] for item in asked if "ids" in item], logits)
    return {"load_seconds": seconds, "texts": [list(loaded.encode(item["text"])) for item in asked if "text" in item]}


def answer_job(run: Run, report: Report) -> tuple[None, dict[str, Any]]:
    """Run `answer` as a job. If the engine can't load the export, the only figure is `refused`, the reason."""
    del report
    files = (Path(run.options[name]) for name in ("exported", "questions", "logits"))
    try:
        return None, answer(run.part("exporter").build(), *files, trusted=bool(run.options.get("trust_remote_code")))
    except NotImplementedError as reason:
        return None, {"refused": str(reason)}


def write_logits(loaded: Exported, rows: Sequence[Sequence[int]], file: Path) -> None:
    """Write the logits of each row to a safetensors file as they are computed; all sizes in the header are known beforehand.

    Raises:
        SwiftError: the engine returns a wrong number of logits.
    """
    sizes = [len(row) * loaded.vocabulary * 4 for row in rows]
    header = {
        str(number): {"dtype": "F32", "shape": [len(row), loaded.vocabulary], "data_offsets": [end - size, end]}
        for number, (row, size, end) in enumerate(zip(rows, sizes, accumulate(sizes), strict=True))
    }
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for row, size in zip(rows, sizes, strict=True):
            if stream.write(memoryview(loaded.logits(row)).cast("B")) != size:
                raise SwiftError(
                    f"the number of logits is not {len(row)} tokens × {loaded.vocabulary}", code="CONVERT-031", where=str(file)
                )
