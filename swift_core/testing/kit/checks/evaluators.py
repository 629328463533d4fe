"""An evaluator before a server that answers every question alike: its scores must not depend on the day."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

from swift_core.errors import UsageError
from swift_core.roles import Scores, Server
from swift_core.testing.kit.model import CheckFailed, Skip, check, require
from swift_core.testing.kit.subject import Subject
from swift_core.testing.scripted import ScriptedServer, events, reply

EVALUATOR = "evaluator"
_SAID = "The answer is 4."


def _answer(handler: BaseHTTPRequestHandler, body: Any) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    if handler.path.endswith("/models"):
        reply(handler, 200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
    elif handler.path.endswith("/chat/completions") and body and body.get("stream"):
        stream = events({"choices": [{"index": 0, "delta": {"content": _SAID}}]})
        reply(handler, 200, stream, content_type="text/event-stream")
    elif handler.path.endswith("/chat/completions"):
        choice = {"index": 0, "message": {"role": "assistant", "content": _SAID}, "finish_reason": "stop"}
        reply(handler, 200, {"id": "1", "object": "chat.completion", "model": "fake", "choices": [choice], "usage": usage})
    elif handler.path.endswith("/completions"):
        choice = {"index": 0, "text": _SAID, "finish_reason": "stop"}
        reply(handler, 200, {"id": "1", "object": "text_completion", "model": "fake", "choices": [choice], "usage": usage})
    else:
        reply(handler, 404, {"error": {"message": "no such route"}})


class _Fake(ScriptedServer):
    def take(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.seen.append({"path": handler.path})
        _answer(handler, body)


def _scores(subject: Subject, tasks: tuple[str, ...] = ()) -> Scores:
    if subject.spec.over != "http":
        raise Skip("it loads the checkpoint itself")
    subject.needs_engine()
    asked = tasks or subject.example.tasks
    if not asked:
        raise Skip(f"the plugin's SWIFT_EXAMPLES has no tasks for '{subject.spec.name}'")
    with _Fake() as fake:
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
