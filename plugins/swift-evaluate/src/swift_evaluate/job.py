"""The job of eval: check the run, serve the checkpoint if needed, call the evaluator, and record its items and scores."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from swift_engines.worker import in_engine
from swift_serve.temporary_server import carry_out as carry_out_with_server, server_of

from swift_core.contract import EvaluatorSpec, Problem, Ref, Run, RunResult, Server, Stopped, SwiftError
from swift_core.plugins import Registry, registry
from swift_core.runs import Context, Draft, Report, execute_run
from swift_evaluate import resume, scores
from swift_evaluate.ask_job import EVALUATOR
from swift_evaluate.contamination import contamination, warning
from swift_evaluate.provenance import made_with
from swift_evaluate.records import read_items
from swift_evaluate.roles import Scores

ASK_JOB = Ref("swift_evaluate.ask_job:ask")


def prepare(draft: Draft) -> None:
    """Read a URL in the place of the model as one, and check what a run resumes, before anything is downloaded."""
    if str(draft.options["model"]).startswith(("http://", "https://")):
        draft.options |= {"model": "", "url": draft.options["model"]}
        draft.parts.pop("backend", None)
    if draft.options["resume"]:
        resume.check_folder(Path(draft.options["resume"]))


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield what is missing or contradictory in the evaluator's input."""
    spec, url = _spec(run, known), run.options["url"]
    inline = spec.over == "inline"
    if inline and url:
        message = f"the evaluator '{spec.name}' loads the checkpoint itself and evaluates no server"
        yield Problem(code="EVAL-002", where="url", message=message, hint="Name the checkpoint instead of a URL, or another --evaluator.")
    elif run.model is None and not url:
        hint = "Name a checkpoint with --model." if inline else "Name a checkpoint with --model, or a running server with --url."
        yield Problem(code="EVAL-001", where="model", message="no model given" if inline else "no model and no --url given", hint=hint)
    if inline and run.adapters and not spec.adapters:
        message = f"the evaluator '{spec.name}' loads the checkpoint itself, without adapters"
        yield Problem(
            code="EVAL-003", where="adapter", message=message, hint="Merge the adapter first: swift merge; then evaluate the merged model."
        )
    if run.options["samples"] > 1 and not run.options["temperature"]:
        message = f"{run.options['samples']} samples per question would be equal: decoding is greedy"
        yield Problem(code="EVAL-006", where="samples", message=message, hint="Set --temperature, such as --temperature 0.7.")
    yield from resume.problems(run)


def carry_out(run: Run, context: Context) -> RunResult:
    """Run the evaluator in a worker, with a server for the checkpoint unless the evaluator needs none."""
    inline = _spec(run, registry()).over == "inline"
    return execute_run(run, context) if inline else carry_out_with_server(run, context)


def evaluate(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Evaluate, and write `items.jsonl` and `scores.json`; figures: each score by task and metric, with its standard error.

    Raises:
        UsageError: the evaluator does not know a task, or its settings are wrong.
        SwiftError: the server failed, the evaluator's library crashed, or a task has no scores.
    """
    choice, tasks = run.part("evaluator"), tuple(run.options["tasks"])
    subject = Path(run.model.path) if _spec(run, registry()).over == "inline" and run.model else server_of(run)
    models = subject.models if isinstance(subject, Server) else ()
    try:
        _, reported = in_engine(run, choice, ASK_JOB, report, run_folder=report.folder, models=json.dumps(models))
    except KeyboardInterrupt:
        raise _resumable(Stopped("stopped", code="EVAL-007", where=str(report.folder)), report) from None
    except SwiftError as error:
        raise _resumable(error, report) from error
    found = Scores(**{field.name: reported[field.name] for field in fields(Scores)})
    items = read_items(report.folder)
    record = {**made_with(run, subject, found), **scores.summary(items, found), "contamination": contamination(run, items)}
    absent = [task for task in tasks if not record["scores"].get(task)] or ([] if record["scores"] else ["any task"])
    if absent and items and all(item.status == "failed" for item in items):
        message, last = f"none of the {len(items)} questions was answered", items[-1].output
        hint = f"{last.strip()} The evaluator's files are in {report.folder / EVALUATOR}.".strip()
        raise SwiftError(message, code="EVAL-128", where="tasks", hint=hint)
    if absent:
        hint = f"Name tasks of the evaluator with --tasks; its files are in {report.folder / EVALUATOR}."
        raise SwiftError(f"the evaluator '{choice.name}' gave no scores for {', '.join(absent)}", code="EVAL-004", where="tasks", hint=hint)
    record["warnings"] = [*scores.warnings(record), *warning(record["contamination"])]
    return scores.write(record, report.folder), scores.figures(record)


def _spec(run: Run, known: Registry) -> EvaluatorSpec:
    return known.spec(run.part("evaluator"), EvaluatorSpec)


def _resumable(error: SwiftError, report: Report) -> SwiftError:
    """Return the error with the way to resume, if items have been recorded."""
    kept = sum(item.status != "failed" for item in read_items(report.folder))
    if not kept:
        return error
    hint = f"{kept} items are kept; to continue, run the same command with --resume {shlex.quote(str(report.folder))}."
    return error.with_context(hint=f"{error.hint} {hint}".strip())
