"""Checks of an evaluator against a fake server with a fixed answer: its items and scores must be complete and reproducible."""

from __future__ import annotations

from contextlib import nullcontext

from swift_evaluate.roles import Item, Scores

from swift_core.contract import Server, SwiftError, UsageError
from swift_testing.evaluation import evaluation, means
from swift_testing.fake_engine import FakeEngine
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

EVALUATOR = "evaluator"


def _scores(subject: Subject, tasks: tuple[str, ...] = (), server: FakeEngine | None = None) -> tuple[Scores, list[Item]]:
    if subject.spec.over != "http":
        raise Skip("it loads the checkpoint itself")
    subject.needs_engine()
    chosen = tasks or subject.example.tasks
    asked, items = evaluation(subject.new_folder("scores"), *chosen)
    with nullcontext(server) if server else FakeEngine("The answer is 4.") as fake:
        try:
            found: Scores = subject.build().evaluate(Server(fake.url, ("fake",)), asked)
        except UsageError:
            if chosen:
                raise
            raise Skip(f"the plugin's SWIFT_EXAMPLES has no tasks for '{subject.spec.name}', and it has none of its own") from None
    return found, items


@check(EVALUATOR)
def check_scores(subject: Subject) -> None:
    """It records an item for each answered question, each requested task has numeric scores, and they are those of the items."""
    found, items = _scores(subject)
    of_items = means(items)
    require(items, "it records no items, so that its scores have no interval and can't be compared")
    missing = [task for task in subject.example.tasks if not found.values.get(task) and not of_items.get(task)]
    require(not missing, f"no scores for {', '.join(missing)}")
    values = [
        *((f"{task}.{name}", value) for task, scores in found.values.items() for name, value in scores.items()),
        *((f"{item.task}.{name}", value) for item in items for name, value in item.scores.items()),
    ]
    invalid = sorted({name for name, value in values if not isinstance(value, int | float)})
    require(not invalid, f"scores that are not numbers: {', '.join(invalid)}")
    for task, scores in of_items.items():
        for name, mean in scores.items():
            value = found.values.get(task, {}).get(name, mean)
            require(abs(value - mean) < 1e-3, f"the mean {name} of the items of {task} is {mean}, but it returns {value}")


@check(EVALUATOR)
def check_item_ids(subject: Subject) -> None:
    """Each item has an id of its own within its task, and the same one in the next run: otherwise two models can't be compared."""
    first, second = ([(item.task, item.id, item.sample) for item in _scores(subject)[1]] for _ in range(2))
    twice = sorted({name for name in first if first.count(name) > 1})
    require(not twice, f"several items have the same id: {', '.join(str(name) for name in twice[:3])}")
    require(sorted(first) == sorted(second), "the ids of the items differ from run to run")


@check(EVALUATOR)
def check_resuming(subject: Subject) -> None:
    """It does not ask again what an interrupted run has answered."""
    _, items = _scores(subject)
    asked, again = evaluation(subject.new_folder("scores"), *subject.example.tasks, recorded={(i.task, i.id, i.sample): i for i in items})
    with FakeEngine("The answer is 4.") as fake:
        subject.build().evaluate(Server(fake.url, ("fake",)), asked)
        bodies = [request["body"] for request in fake.seen if "completions" in request["path"]]
    new = [item for item in again if item not in items]
    require(not bodies and not new, f"all items are recorded, but it sends {len(bodies)} requests and records {len(new)} other items")


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
        scores, items = _scores(subject, server=fake)
        found = dict(scores.values) or means(items)
    except SwiftError:
        return
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"an unreachable server raises {type(error).__name__}: {error}") from error
    raise CheckFailed(f"the server was unreachable, but it returns the scores {found}")


@check(EVALUATOR)
def check_scores_are_reproducible(subject: Subject) -> None:
    """The same answers get the same scores: otherwise two models can't be compared."""
    first, second = ((dict(scores.values), means(items)) for scores, items in (_scores(subject), _scores(subject)))
    require(first == second, f"the same answers get the scores {first} and then {second}")


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
