"""Ask a server for many answers concurrently, and write them in the order of the questions.

Answers are appended to `OUTPUT.partial` in order, and the file is renamed when complete; an interrupted run keeps its answers, and
`--resume` continues after them.
"""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from swift_core.contract import Run, Stopped, SwiftError, UsageError
from swift_core.runs import Report
from swift_core.system import check_free


class Asked(Protocol):
    """Something that is asked.

    Attributes:
        record: its fields in the line of its answer.
    """

    @property
    def record(self) -> Mapping[str, Any]:
        """Its fields in the line of its answer, as JSON."""
        ...


Q = TypeVar("Q", bound=Asked)


def write_answers(run: Run, report: Report, questions: Sequence[Q], answer: Callable[[Q], Mapping[str, Any]]) -> Path:
    """Write a JSON line for each question: its own fields, and those of its answer. Return the file.

    Raises:
        UsageError: there are no questions, the output exists, or the partial answers belong to other questions.
        Stopped: a stop was requested; the answers so far are kept.
        SwiftError: the server failed; the answers so far are kept.
    """
    options = run.options
    output = Path(options["output"]) if options.get("output") else report.folder / "answers.jsonl"
    check_free(output, overwrite=bool(options["overwrite"]))
    if not questions:
        raise UsageError("no questions", code="SERVE-062", where="questions", hint="Add --questions 'Who are you?' or --dataset FILE.")
    partial = output.with_name(output.name + ".partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    done = _answered(partial, questions) if options["resume"] else 0
    report.progress("ask", done, len(questions), unit="questions")
    if report.stop_requested:
        raise Stopped("stopped", code="SERVE-063")
    with partial.open("a" if done else "w", encoding="utf-8") as out:
        try:
            for question, found in _in_order(answer, questions[done:], int(options["concurrency"])):
                out.write(json.dumps({**question.record, **found}, ensure_ascii=False) + "\n")
                out.flush()
                done += 1
                report.progress("ask", done, len(questions), unit="questions")
        except SwiftError as error:
            again = f"--output {shlex.quote(str(output))} --resume"
            hint = f"{done} of {len(questions)} answers are kept in {partial}; to continue, run the same command with {again}."
            hint = f"{error.hint} {hint}".strip() if done else error.hint
            raise type(error)(error.message, code=error.code, where=error.where, hint=hint) from error
    partial.replace(output)
    return output


def _in_order(answer: Callable[[Q], Mapping[str, Any]], questions: Iterable[Q], most: int) -> Iterator[tuple[Q, Mapping[str, Any]]]:
    """Yield each question with its answer, in order, with at most `most` concurrent requests."""
    with ThreadPoolExecutor(most, "ask") as workers:
        waiting: deque[tuple[Q, Future[Mapping[str, Any]]]] = deque()
        rest = iter(questions)
        try:
            while True:
                waiting.extend((question, workers.submit(answer, question)) for question in islice(rest, most - len(waiting)))
                if not waiting:
                    return
                question, asked = waiting.popleft()
                yield question, asked.result()
        finally:
            workers.shutdown(wait=False, cancel_futures=True)


def _answered(partial: Path, questions: Sequence[Q]) -> int:
    """Return the number of questions that an interrupted run has answered; an incomplete last line is removed."""
    if not partial.is_file():
        return 0
    whole = [line for line in partial.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    partial.write_text("".join(whole), encoding="utf-8")
    for line, question in zip(map(json.loads, whole), questions, strict=False):
        asked = json.loads(json.dumps(question.record))
        if {name: line.get(name) for name in asked} != asked:
            break
    else:
        if len(whole) <= len(questions):
            return len(whole)
    raise UsageError(
        "the partial answers belong to a different set of questions",
        code="SERVE-064",
        where=str(partial),
        hint="Give the same questions in the same order, or omit --resume to start again.",
    )
