"""Send messages to the receiver: again and again until it accepts them, under a key by which it can tell that it has one already."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import time
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from swift_core.contract import UsageError
from swift_plugin_trigger.dead_letters import bury
from swift_plugin_trigger.definition import Delivery
from swift_plugin_trigger.store import Message, Store

LONGEST_PAUSE = 60.0  # seconds between two attempts
_TRY_AGAIN = (408, 425, 429)  # of 400 to 499; the others mean that it will never be accepted
_KNOWN = 409  # the receiver has it already
Outcome = Literal["delivered", "later", "dead"]


@dataclass(frozen=True, slots=True)
class Postman:
    """Delivers messages to one URL."""

    delivery: Delivery  # where, and how long

    def headers(self, message: Message, body: bytes) -> dict[str, str]:
        """Return the headers of a message: its key, and the signature of the body if there is a secret."""
        found = {"content-type": "application/json", "idempotency-key": message.id, "user-agent": "swift-trigger"}
        if token := variable(self.delivery.token_env):
            found["authorization"] = f"Bearer {token}"
        if secret := variable(self.delivery.secret_env):
            found["x-swift-signature"] = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        return found

    def send(self, store: Store, message: Message, http: httpx2.Client) -> Outcome:
        """Send a message once, and record what came of it."""
        store.begin_delivery(message.id)
        body = json.dumps(payload(message), ensure_ascii=False).encode()
        wait, note = pause(message.tries), ""
        try:
            answer = http.post(self.delivery.url, content=body, headers=self.headers(message, body))
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            note = f"{type(error).__name__}: {error}"
        else:
            note = f"HTTP {answer.status_code}"
            if answer.is_success or answer.status_code == _KNOWN:
                store.delivered(message.id, note)
                return "delivered"
            if 300 <= answer.status_code < 500 and answer.status_code not in _TRY_AGAIN:
                return self._give_up(store, message, note)
            if (asked := answer.headers.get("retry-after", "")).isdigit():
                wait = max(wait, min(float(asked), self.delivery.patience))
        if message.first_try and time.time() + wait - message.first_try > self.delivery.patience:
            return self._give_up(store, message, note)
        store.later(message.id, wait, note)
        return "later"

    def _give_up(self, store: Store, message: Message, note: str) -> Outcome:
        bury(store.folder, "message", message.id, f"not delivered to {self.delivery.url}: {note}", text=message.record["text"])
        store.dead(message.id, note)
        return "dead"


def payload(message: Message) -> dict[str, Any]:
    """Return what the receiver gets: the same at each attempt."""
    record = message.record
    return {
        "id": message.id, "event": message.event, "variant": dict(message.variant), "text": record["text"], "sha256": record["sha256"],
        "by": record["by"], "model": record["model"], "written": record["written"],
    }  # fmt: skip


def pause(tries: int) -> float:
    """Return the seconds before the next attempt: 1, 2, 4, … with some chance, so that many messages do not come at once."""
    return float(min(LONGEST_PAUSE, 2.0 ** min(tries, 10)) * random.uniform(0.5, 1.0))


def variable(name: str) -> str:
    """Return the value of an environment variable; '' if none is named.

    Raises:
        UsageError: it is named and not set.
    """
    if name and not os.environ.get(name):
        raise UsageError(f"the environment variable {name} is not set", code="TRIGGER-008", where=name, hint=f"export {name}=…")
    return os.environ.get(name, "") if name else ""
