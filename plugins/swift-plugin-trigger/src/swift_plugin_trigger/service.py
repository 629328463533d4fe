"""The service: sources of events, one thread that answers them, one that delivers the messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Signal

import httpx2

from swift_core.contract import Run, SwiftError, UsageError
from swift_plugin_trigger.answering import Author, Unanswered, write_all
from swift_plugin_trigger.dead_letters import bury
from swift_plugin_trigger.definition import Definition
from swift_plugin_trigger.delivery import Postman, pause
from swift_plugin_trigger.intake import Intake
from swift_plugin_trigger.recording import record
from swift_plugin_trigger.sources.files import take_files
from swift_plugin_trigger.sources.schedule import take_tick
from swift_plugin_trigger.store import Event, Store

_IDLE = 0.5  # seconds between two looks at what may be tried again
Say = Callable[[str], None]


@dataclass(slots=True)
class Service:
    """A running trigger."""

    definition: Definition  # the trigger
    store: Store  # its state
    author: Author  # who writes
    run: Run  # recorded for each event
    runs: Path  # where run folders are made
    say: Say  # gets a line about what happens
    stop: Signal = field(default_factory=Signal)  # set to end it
    work: Signal = field(default_factory=Signal)  # set when there may be something to do
    failure: BaseException | None = None  # of a thread; it ends the service

    @contextmanager
    def working(self) -> Iterator[None]:
        """Answer and deliver in threads until the block ends; what they have begun is finished first."""
        jobs = [self._answer] + ([self._deliver] if self.definition.deliver.url else [])
        threads = [threading.Thread(target=self._looping, args=(job,), name=job.__name__, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            self.work.set()
            for thread in threads:
                thread.join()

    def listen(self, intake: Intake) -> None:
        """Take events from files and the schedule until the service is stopped; events by HTTP come in a thread of their own.

        Raises:
            SwiftError: a thread of the service has failed.
        """
        seen, looked = time.time(), 0.0
        while not self.stop.wait(0.2):
            if self.failure is not None:
                raise self.failure
            if self.definition.files and time.monotonic() - looked >= self.definition.files.interval:
                looked = time.monotonic()
                take_files(self.definition.files, intake)
            if self.definition.schedule:
                seen = take_tick(self.definition.schedule, intake, seen)

    def finish(self, events: Sequence[str]) -> None:
        """Wait until no message of these events is open.

        Raises:
            SwiftError: a thread of the service has failed.
        """
        while self.open(events):
            if self.failure is not None:
                raise self.failure
            self.stop.wait(0.05)

    def open(self, events: Sequence[str]) -> int:
        """Return how many messages of these events are not finished; without a receiver they are when they are recorded."""
        if self.definition.deliver.url:
            return self.store.open(events)
        return sum(event is not None and event.state == "waiting" for event in map(self.store.event, events))

    def _looping(self, job: Callable[[], bool]) -> None:
        """Do a job as long as there is something to do; then wait."""
        try:
            while not self.stop.is_set():
                if not job():
                    self.work.wait(_IDLE)
                    self.work.clear()
        except BaseException as error:
            self.failure = error

    def _answer(self) -> bool:
        """Answer the next event; return whether there was one."""
        event = self.store.next_event()
        if event is None:
            return False
        try:
            write_all(self.author, self.store, event)
            folder = record(self.run, self.runs, event, self.store.messages(event.id))
        except Unanswered as error:
            self._unanswered(event, error)
        except SwiftError as error:  # an observer refuses: nothing is sent that is not recorded
            self.store.event_later(event.id, pause(event.tries), str(error))
            self.say(f"{event.id}: not recorded, will be retried: {error}")
        else:
            self.store.release(event.id, str(folder.absolute()))
            self.say(f"{event.id}: {len(self.definition.variants)} messages, recorded in {folder}")
            self.work.set()
        return True

    def _unanswered(self, event: Event, error: Unanswered) -> None:
        if error.final:
            bury(self.store.folder, "event", event.id, error.message, event=dict(event.body))
            self.store.event_dead(event.id, error.message)
            self.say(f"{event.id}: dead: {error.message}")
        else:
            self.store.event_later(event.id, pause(event.tries), error.message)
            self.say(f"{event.id}: no answer, will be retried: {error.message}")

    def _deliver(self) -> bool:
        """Deliver the next message; return whether there was one."""
        message = self.store.due()
        if message is None:
            return False
        with httpx2.Client(timeout=self.definition.deliver.timeout, follow_redirects=False) as http:
            outcome = Postman(self.definition.deliver).send(self.store, message, http)
        if outcome != "later" or not message.tries:
            self.say(
                f"{message.id}: {outcome}" + ("" if outcome == "delivered" else f" ({(self.store.message(message.id) or message).note})")
            )
        return True


def serve(service: Service, intake: Intake) -> None:
    """Take, answer and deliver events until the service is stopped.

    Raises:
        UsageError: there is no source of events, or the address is not free, or others can reach it and there is no token.
    """
    definition = service.definition
    if not (definition.http or definition.files or definition.schedule):
        hint = "Add http, files or schedule to the definition, or give --events FILE."
        raise UsageError("the definition has no source of events", code="TRIGGER-022", where="definition", hint=hint)
    with ExitStack() as stack:
        if definition.http:
            from swift_http.server import bind, url_of

            from swift_plugin_trigger.sources.http import Listener

            if definition.http.host not in ("127.0.0.1", "::1", "localhost") and not definition.http.token_env:
                hint = "Set http.token_env to the environment variable that holds a token."
                raise UsageError(
                    f"other machines can reach {definition.http.host}, and there is no token",
                    code="TRIGGER-023",
                    where="http.host",
                    hint=hint,
                )
            bound = bind(definition.http.host, definition.http.port)
            stack.enter_context(service.working())
            stack.enter_context(Listener(definition.http, intake, bound))
            service.say(f"events: {url_of(bound).removesuffix('/v1')}{definition.http.path}")
        else:
            stack.enter_context(service.working())
        service.listen(intake)
