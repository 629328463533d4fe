"""Make the messages of an event: ask the model until an answer passes the screening, else take the fallback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swift_serve.client import Client

from swift_core.contract import Server, SwiftError, UsageError
from swift_core.system import digest
from swift_plugin_trigger.definition import Definition
from swift_plugin_trigger.recipe import run_recipe
from swift_plugin_trigger.screening import faults
from swift_plugin_trigger.store import Event, Message, Store

_HINT = "Look at answer.prompt, screen and answer.fallback of the definition; then: swift trigger retry."


class Unanswered(SwiftError):
    """No text: the server gave no answer, or none passed the screening and there is no fallback. `final`: trying again is of no use."""

    def __init__(self, message: str, *, code: str = "", hint: str = "", where: str = "", final: bool = False) -> None:
        super().__init__(message, code=code, hint=hint, where=where)
        self.final = final


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Writes messages."""

    definition: Definition  # the trigger
    server: Server | None  # who is asked; None if a recipe answers
    runs: Path  # where recipes leave their run folders

    def write(self, event: Event, message: Message) -> dict[str, Any]:
        """Return the record of a message: its text, and how it was made.

        The fallback is used if no answer passes, if the server refuses the request, and once the patience with the event is over.

        Raises:
            Unanswered: there is no text.
        """
        left = event.received + self.definition.answer.patience - time.time()
        values = {**event.body, **message.variant, "event": event.body, "variant": message.variant}
        asked = {
            "prompt": None if self.definition.answer.recipe else self._conversation(values),
            "server": self.server.url if self.server else "",
        }
        try:
            found = self._answered(values, message.id, left)
        except SwiftError as error:
            refused = isinstance(error, UsageError)
            if not self.definition.answer.fallback.text or (left > 0 and not refused):
                raise _unanswered(str(error), code=error.code, final=refused or left <= 0) from error
            found = {"text": "", "model": "", "rejected": [{"text": "", "reasons": [f"no answer: {error}"]}]}
        if not found["text"]:
            found |= {"text": self._fallback(values, found["rejected"]), "by": "fallback"}
        return {**found, **asked, "sha256": digest(found["text"]), "definition": self.definition.hash, "written": _now()}

    def _answered(self, values: Mapping[str, Any], name: str, left: float) -> dict[str, Any]:
        """Return the first answer that passes, with those that did not; '' if none does.

        Raises:
            SwiftError: the server fails, or says nothing for `left` seconds; without a fallback, a late event gets that time anew.
        """
        answer, rejected, client = self.definition.answer, list[dict[str, Any]](), Client(self.server) if self.server else None
        if left <= 0 and answer.fallback.text:
            raise SwiftError(f"the event is older than {answer.patience:g} seconds", code="TRIGGER-030", hint=_HINT)
        seconds = left if left > 0 else answer.patience
        model = within(seconds, lambda: client.model) if client else ""
        for attempt in range(answer.attempts):
            began = time.monotonic()
            sampling = self._sampling(name, attempt)
            if answer.recipe:
                text, made = run_recipe(answer.recipe, values, self.runs)
            else:
                text, made = self._asked(client, values, sampling, seconds), {"sampling": sampling}
            if not (reasons := faults(text, self.definition.screen, values) if text else ["the answer is empty"]):
                by = "recipe" if answer.recipe else "model"
                return {"text": text, "by": by, "model": model, **made, "rejected": rejected, "seconds": round(time.monotonic() - began, 3)}
            rejected.append({"text": text, "reasons": reasons})
            if answer.recipe:
                break  # it would do the same again
        return {"text": "", "model": model, "rejected": rejected}

    def _asked(self, client: Client | None, values: Mapping[str, Any], sampling: Mapping[str, Any], seconds: float) -> str:
        """Return the answer of the server."""
        assert client is not None
        conversation = self._conversation(values)
        return within(seconds, lambda: client.complete(conversation, **sampling)).strip()

    def _sampling(self, name: str, attempt: int) -> dict[str, Any]:
        """Return the fields of a request: the same ones whenever this attempt is made, since the seed follows from the message."""
        answer = self.definition.answer
        temperature = answer.retry_temperature if attempt else answer.temperature
        return {"max_tokens": answer.max_tokens, "temperature": temperature, "seed": int(digest([name, attempt])[:7], 16)}

    def _conversation(self, values: Mapping[str, Any]) -> list[dict[str, str]]:
        answer = self.definition.answer
        system = [{"role": "system", "content": answer.system.render(values)}] if answer.system.text else []
        return [*system, {"role": "user", "content": answer.prompt.render(values)}]

    def _fallback(self, values: Mapping[str, Any], rejected: list[dict[str, Any]]) -> str:
        """Return the text of the fallback, which must pass the screening too."""
        reasons = "; ".join(reason for each in rejected for reason in each["reasons"])
        if not self.definition.answer.fallback.text:
            raise Unanswered(f"no answer passed the screening: {reasons}", code="TRIGGER-001", hint=_HINT, final=True)
        text = self.definition.answer.fallback.render(values).strip()
        if broken := "; ".join(faults(text, self.definition.screen, values)):
            raise Unanswered(
                f"neither an answer nor the fallback passed the screening: {broken}", code="TRIGGER-002", hint=_HINT, final=True
            )
        return text


def _unanswered(message: str, *, code: str, final: bool) -> Unanswered:
    return Unanswered(message, code=code, hint=_HINT, final=final)


def within(seconds: float, call: Callable[[], str]) -> str:
    """Return what a call returns; a server that accepts a request and says nothing is waited for no longer than `seconds`.

    Raises:
        SwiftError: it did not return in time; its thread is left behind.
    """
    done: Future[str] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        raise SwiftError(f"no answer in {seconds:.0f} seconds", code="TRIGGER-031", hint="Check the log of the server.") from None


def write_all(author: Author, store: Store, event: Event) -> None:
    """Give every message of an event its text; those that have one keep it.

    Raises:
        Unanswered: one has none.
    """
    for message in store.messages(event.id):
        if message.state == "wanted":
            store.write(message.id, author.write(event, message))


def lines(messages: list[Message]) -> str:
    """Return messages as JSON lines, without the state of their delivery."""
    return "".join(
        json.dumps({"id": each.id, "event": each.event, "variant": each.variant, **each.record}, ensure_ascii=False) + "\n"
        for each in messages
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
