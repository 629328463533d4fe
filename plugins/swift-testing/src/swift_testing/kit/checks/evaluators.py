"""An evaluator before a server that answers every question alike: its scores must not depend on the day."""

from __future__ import annotations

from contextlib import nullcontext

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Scores, Server
from swift_testing.fake_engine import FakeEngine
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

EVALUATOR = "evaluator"


def _scores(subject: Subject, tasks: tuple[str, ...] = (), server: FakeEngine | None = None) -> Scores:
    if subject.spec.over != "http":
        raise Skip("it loads the checkpoint itself")
    subject.needs_engine()
    asked = tasks or subject.example.tasks
    if not asked:
        raise Skip(f"the plugin's SWIFT_EXAMPLES has no tasks for '{subject.spec.name}'")
    with nullcontext(server) if server else FakeEngine("The answer is 4.") as fake:
        found: Scores = subject.build().evaluate(Server(fake.url, ("fake",)), asked, subject.new_folder("scores"))
    return found


@check(EVALUATOR)
def check_scores(subject: Subject) -> None:
    """Each task that was asked for has scores, as numbers, and the predictions behind them are kept."""
    found = _scores(subject)
    missing = [task for task in subject.example.tasks if not found.values.get(task)]
    require(not missing, f"no scores for {', '.join(missing)}")
    odd = [
        f"{task}.{name}" for task, scores in found.values.items() for name, value in scores.items() if not isinstance(value, int | float)
    ]
    require(not odd, f"scores that are no numbers: {', '.join(odd)}")
    require(found.folder.is_dir() and any(found.folder.rglob("*")), "it keeps no predictions in the folder that it names")


@check(EVALUATOR)
def check_it_asks_the_server(subject: Subject) -> None:
    """The server is asked, by the name of its model: scores that come from nowhere are worse than none."""
    with FakeEngine("The answer is 4.") as fake:
        _scores(subject, server=fake)
        asked = [request["body"] for request in fake.seen if "completions" in request["path"]]
    require(asked, "it gives scores, and has asked the server nothing")
    names = {str(body.get("model")) for body in asked}
    require(names == {"fake"}, f"the server's model is called 'fake', and it asks for {', '.join(sorted(names))}")


@check(EVALUATOR)
def check_a_server_that_fails(subject: Subject) -> None:
    """A server that is gone is a SwiftError: questions without an answer must not count as wrong ones."""
    with FakeEngine() as fake:
        pass
    try:
        found = _scores(subject, server=fake)
    except SwiftError:
        return
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"a server that is gone ends in {type(error).__name__}: {error}") from error
    raise CheckFailed(f"nobody answered, and it has the scores {dict(found.values)}")


@check(EVALUATOR)
def check_same_scores_twice(subject: Subject) -> None:
    """The same answers have the same scores: a comparison of two models must not be one of two days."""
    first, second = _scores(subject).values, _scores(subject).values
    require(first == second, f"the same answers have the scores {dict(first)} and then {dict(second)}")


@check(EVALUATOR)
def check_unknown_task_is_refused(subject: Subject) -> None:
    """A task that it does not know is a UsageError, before anything is asked."""
    try:
        _scores(subject, ("there-is-no-such-task",))
    except UsageError:
        return
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"an unknown task ends in {type(error).__name__}: {error}") from error
    raise CheckFailed("an unknown task is no error")
