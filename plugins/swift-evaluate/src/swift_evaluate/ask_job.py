"""The part of an evaluation that needs the evaluator's library: in this process, or in a worker of the evaluator's own environment."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from swift_serve.temporary_server import server_of

from swift_core.contract import EvaluatorSpec, Run
from swift_core.plugins import registry
from swift_core.runs import Report
from swift_evaluate import resume
from swift_evaluate.records import Journal
from swift_evaluate.roles import Evaluation, Scores

EVALUATOR = "evaluator"  # folder of the evaluator's own files in the run folder
_ASKED = ("limit", "few_shot", "samples", "concurrency", "seed", "max_tokens", "temperature", "allow_code")


def ask(run: Run, report: Report) -> tuple[None, dict[str, Any]]:
    """Call the evaluator, and record its items in the run folder of the evaluation.

    Args:
        run: the evaluation, with the options `run_folder` and `models` (the names of the server's models, as JSON) in addition.
        report: the channel of the job, whose folder may be another one.

    Returns:
        The evaluator's `Scores`, as JSON.
    """
    choice, home = run.part("evaluator"), Path(run.options["run_folder"])
    folder = home / EVALUATOR
    folder.mkdir(exist_ok=True)
    inline = registry().spec(choice, EvaluatorSpec).over == "inline"
    if run.server:
        run = replace(run, server=replace(run.server, models=tuple(json.loads(run.options["models"]))))
    subject: Any = Path(run.model.path) if inline and run.model else server_of(run)
    with Journal(report, resume.earlier(run), folder=home) as journal:
        asked = Evaluation(
            folder=folder,
            interrupted=Path(run.options["resume"]) / EVALUATOR if run.options["resume"] else None,
            record=journal.record,
            expect=journal.expect,
            recorded=journal.recorded,
            tasks=tuple(run.options["tasks"]),
            data={task: Path(path) for task, path in run.options["data"].items()},
            checkpoint=Path(run.model.path) if run.model else None,
            adapters={name: Path(source.path) for name, source in run.adapters.items()},
            **{name: run.options[name] for name in _ASKED},
        )
        found: Scores = choice.build().evaluate(subject, asked)
    return None, asdict(found)
