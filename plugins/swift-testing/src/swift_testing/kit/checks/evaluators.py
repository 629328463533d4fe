"""Checks of an evaluator against a fake server with a fixed answer: its scores must be complete and reproducible."""

from __future__ import annotations

from contextlib import nullcontext

from swift_core.contract import Scores, Server, SwiftError, UsageError
from swift_testing.fake_engine import FakeEngine
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

EVALUATOR = "evaluator"


def _scores(subject: Subject, tasks: tuple[str, ...] = (), server: FakeEngine | None = None) -> Scores:
    if subject.spec.over != "http":
        raise Skip("it loads the checkpoint itself")
    subject.needs_engine()
    chosen = tasks or subject.example.tasks
    out = subject.new_folder("scores")
    out.mkdir()
    with nullcontext(server) if server else FakeEngine("The answer is 4.") as fake:
        try:
            found: Scores = subject.build().evaluate(Server(fake.url, ("fake",)), chosen, out)
        except UsageError:
            if chosen:
                raise
            raise Skip(f"the plugin's SWIFT_EXAMPLES has no tasks for '{subject.spec.name}', and it has none of its own") from None
    return found


@check(EVALUATOR)
def check_scores(subject: Subject) -> None:
    """Each requested task has numeric scores, and the predictions are saved."""
    found = _scores(subject)
    missing = [task for task in subject.example.tasks if not found.values.get(task)]
    require(not missing, f"no scores for {', '.join(missing)}")
    invalid = [
        f"{task}.{name}" for task, scores in found.values.items() for name, value in scores.items() if not isinstance(value, int | float)
    ]
    require(not invalid, f"scores that are not numbers: {', '.join(invalid)}")
    require(found.folder.is_dir() and any(found.folder.rglob("*")), "it saved no predictions in the folder that it returns")


@check(EVALUATOR)
def check_evaluator_uses_server(subject: Subject) -> None:
    """It sends requests to the server, with the name of the server's model: scores must come from that model."""
    with FakeEngine("The answer is 4.") as fake:
        _scores(subject, server=fake)
        bodies = [request["body"] for request in fake.seen if "completions" in request["path"]]
    require(bodies, "it returns scores without sending a request to the server")
    names = {str(body.get("model")) for body in bodies}
    require(names == {"fake"}, f"the server's model is named 'fake', but it requests {', '.join(sorted(names))}")


@check(EVALUATOR)
def check_server_failure(subject: Subject) -> None:
    """An unreachable server is a SwiftError: questions without an answer must not count as wrong."""
    with FakeEngine() as fake:
        pass
    try:
        found = _scores(subject, server=fake)
    except SwiftError:
        return
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"an unreachable server raises {type(error).__name__}: {error}") from error
    raise CheckFailed(f"the server was unreachable, but it returns the scores {dict(found.values)}")


@check(EVALUATOR)
def check_scores_are_reproducible(subject: Subject) -> None:
    """The same answers get the same scores: otherwise two models can't be compared."""
    first, second = _scores(subject).values, _scores(subject).values
    require(first == second, f"the same answers get the scores {dict(first)} and then {dict(second)}")


@check(EVALUATOR)
def check_unknown_task_is_refused(subject: Subject) -> None:
    """An unknown task is a UsageError."""
    try:
        _scores(subject, ("there-is-no-such-task",))
    except UsageError:
        return
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"an unknown task raises {type(error).__name__}: {error}") from error
    raise CheckFailed("an unknown task is not an error")
