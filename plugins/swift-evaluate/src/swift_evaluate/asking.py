"""For evaluators: ask a server many questions concurrently, with retries, and record every answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from swift_serve.client import Client, Messages, Refused

from swift_core.contract import Server, SwiftError, UsageError
from swift_core.system import paths
from swift_evaluate.roles import Evaluation, Item

TRIES = 4  # attempts per question, in addition to the client's own while the server is busy
LOST = 8  # questions in succession without an answer after which the server counts as lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question of a task, as it is sent. `fields` are further fields of the request."""

    task: str  # name of the task
    id: str  # the same in every run; unique in its task
    messages: Messages  # the conversation that is sent
    expected: str = ""  # the reference answer
    cluster: str = ""  # what questions share that belong together; '': the question stands alone
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The text of the question: that of the last message."""
        content = self.messages[-1].get("content") if self.messages else ""
        return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content or ())

    @property
    def prompt(self) -> str:
        """The hash of the prompt."""
        return prompt_hash(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The server's answer; `message` is the whole message, with its tool calls."""

    text: str  # the content of the message
    truncated: bool = False  # whether the answer ended at the maximum number of tokens
    message: Mapping[str, Any] = field(default_factory=dict)


Score = Callable[[Question, Answer], Mapping[str, float]]
Request = Callable[[Client, Question, Mapping[str, Any]], Answer]  # asks a question with the fields of the request


def chat(client: Client, question: Question, fields: Mapping[str, Any]) -> Answer:
    """Ask a question as a conversation."""
    choice = client.post("/chat/completions", {**fields, "messages": list(question.messages)})["choices"][0]
    message = choice["message"]
    return Answer(text=str(message.get("content") or ""), truncated=choice.get("finish_reason") == "length", message=message)


def prompt_hash(prompt: Any) -> str:
    """Return the SHA-256 of a prompt: a text, messages or token ids."""
    return paths.digest(prompt if isinstance(prompt, str) else list(prompt))


def question_id(*parts: Any) -> str:
    """Return an id for a question that has none: a hash of what identifies it."""
    return paths.digest(parts)[:16]


def ask_all(
    server: Server, questions: Iterable[Question], asked: Evaluation, score: Score, *, request: Request = chat, pause: float = 0.5
) -> None:
    """Ask every question `asked.samples` times, score the answers and record them. What the interrupted run had is not asked again.

    A question is failed if the server rejects it, or gives no answer after several attempts; it gets no scores. Greedy decoding is the
    default: without `asked.temperature` and a temperature in `Question.fields`, the temperature is 0.

    Args:
        server: the server; its first model is asked.
        questions: the questions; their ids are unique within a task.
        asked: what the evaluator was asked to do.
        score: returns the scores of an answer. It is called from several threads.
        request: asks one question; default: as a conversation.
        pause: seconds before the second attempt; it doubles with each one.

    Raises:
        UsageError: two questions of a task have the same id, or the server does not accept the API key or the model.
        SwiftError: the server gives no answers any more, or has given none.
    """
    work = _new(_limited(list(questions), asked.limit), asked)
    asked.expect(len(work))
    ask, failures, answered = _Asker(client=Client(server), asked=asked, score=score, request=request, pause=pause), 0, False
    workers = ThreadPoolExecutor(asked.concurrency, "ask")
    rest, waiting, error = iter(work), set[Future[SwiftError | None]](), None
    try:
        while True:
            while len(waiting) < 2 * asked.concurrency and (following := next(rest, None)):
                waiting.add(workers.submit(ask, *following))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                found = future.result()
                error, failures, answered = found or error, failures + 1 if found else 0, answered or not found
                if found and failures >= LOST:
                    raise found
    finally:
        ask.ended.set()
        workers.shutdown(wait=False, cancel_futures=True)
    if error and not answered:
        raise error


def _new(questions: Sequence[Question], asked: Evaluation) -> list[tuple[Question, int]]:
    """Return the questions with their sample, without those that have been recorded.

    Raises:
        UsageError: two questions of a task have the same id.
    """
    seen: set[tuple[str, str]] = set()
    for question in questions:
        if (question.task, question.id) in seen:
            message = f"two questions of the task '{question.task}' have the id '{question.id}'"
            raise UsageError(message, code="EVAL-005", where=str(asked.data.get(question.task, question.task)), hint="Make the ids unique.")
        seen.add((question.task, question.id))
    pairs = [(question, sample) for question in questions for sample in range(asked.samples)]
    return [(question, sample) for question, sample in pairs if (question.task, question.id, sample) not in asked.recorded]


def _limited(questions: list[Question], limit: int) -> list[Question]:
    counts: dict[str, int] = {}
    kept = []
    for question in questions:
        counts[question.task] = counts.get(question.task, 0) + 1
        if not limit or counts[question.task] <= limit:
            kept.append(question)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asker:
    """Asks one question, and records its item."""

    client: Client
    asked: Evaluation
    score: Score
    request: Request
    pause: float
    ended: Event = field(default_factory=Event)  # no attempt is worth waiting for any more

    def __call__(self, question: Question, sample: int) -> SwiftError | None:
        """Ask a question; the error if there was no answer."""
        shared: dict[str, Any] = {
            "task": question.task,
            "id": question.id,
            "sample": sample,
            "cluster": question.cluster,
            "prompt": question.prompt,
            "question": question.shown,
            "expected": question.expected,
        }
        answer = self._answer(question, sample)
        if isinstance(answer, SwiftError):
            self.asked.record(Item(**shared, output=str(answer), status="failed"))
            return answer
        scores = self.score(question, answer)
        self.asked.record(Item(**shared, output=answer.text, status="truncated" if answer.truncated else "ok", scores=scores))
        return None

    def _answer(self, question: Question, sample: int) -> Answer | SwiftError:
        """Return the answer of the server, or the last error; a question that the server rejects is not asked again.

        Raises:
            UsageError: the server does not accept the API key or the model.
        """
        for attempt in range(TRIES):
            try:
                return self.request(self.client, question, self._fields(question, sample))
            except Refused as error:
                return error
            except UsageError:
                raise
            except SwiftError as error:
                failure: SwiftError = error
            if attempt + 1 < TRIES and self.ended.wait(self.pause * 2**attempt * random.uniform(0.5, 1.5)):
                break
        return failure

    def _fields(self, question: Question, sample: int) -> dict[str, Any]:
        """Return the fields of the request: what the user has asked for wins over the fields of the question."""
        asked = {"max_tokens": self.asked.max_tokens, "temperature": self.asked.temperature}
        return {
            "model": self.client.model,
            "seed": self.asked.seed + sample,
            "temperature": 0.0,
            **question.fields,
            **{name: value for name, value in asked.items() if value is not None},
        }
