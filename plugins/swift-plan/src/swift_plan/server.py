"""The process behind `swift_plan.client.Tracer`: JSON lines in, JSON lines out, until its input is closed."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from swift_core.contract import Run
from swift_core.plugins import local

_SAMPLED = 256  # rows that are encoded


def main() -> None:
    """Answer requests."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand in an answer
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "measure":
        from swift_plan.speed import measure

        return dict(measure())
    run = Run.from_json(request["run"])
    local.use_local_plugins(run.plugins, where="plugins")
    if request["do"] == "rows":
        return rows_of(run)
    from swift_plan.tracing import trace
    from swift_plan.workload import Workload

    return trace(run, Workload.from_json(request["work"]), request["dtype"]).to_json()


def rows_of(run: Run) -> dict[str, Any]:
    """Return the longest sequence of the first rows in tokens, the fraction that is supervised, the number of all rows, the sequences of
    a row, and the longest sequence with media."""
    from itertools import islice

    from swift_data.reading import Skips, raw_rows

    from swift_core.contract import Ref, TaskSpec
    from swift_core.plugins import registry

    inspector = registry().spec(run.part("task"), TaskSpec).inspector
    if inspector is None or not run.datasets:
        raise ValueError("the task has no inspector of rows")
    inspect: Any = Ref(inspector).load()(run)
    longest = tokens = supervised = count = most = 0
    sequences = 1
    media = None
    for choice in run.datasets:
        reading = run.options.get("data", {})
        count += sum(1 for _ in raw_rows(choice, reading))
        for raw, measured in inspect.measure(islice(raw_rows(choice, reading), _SAMPLED), Skips(reading)):
            longest, sequences = max(longest, *measured.lengths), max(sequences, len(measured.lengths))
            if measured.files and not measured.fault and measured.lengths[0] > most:
                most, media = measured.lengths[0], raw
            if measured.learned:  # a row that is cut or refused says nothing of the share
                tokens += sum(measured.lengths)
                supervised += measured.learned
    share = supervised / tokens if tokens else 1.0
    found: dict[str, Any] = {"longest": longest, "supervised": share, "count": count, "sequences": sequences}
    if media is not None:
        encoded = inspect.sequence(media)
        found["media"] = {"ids": encoded.ids.tolist(), "files": [list(span.file) for span in encoded.media]}
    return found


if __name__ == "__main__":
    main()
