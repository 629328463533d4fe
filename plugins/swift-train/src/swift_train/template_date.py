"""The date that chat templates write: for a run it is that of its start, in every process and on every day that it takes.

transformers gives templates one clock, `strftime_now`, which asks `datetime`; a rendering at a fixed date is one with another `datetime`
there, which has the date of the thread that asks: one tokenises a stream while another renders for a checkpoint. Whether a template writes
a date is known by rendering probes at different dates.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

DATES = ("1999-12-28", "2012-05-09", "2030-10-17")  # that share nothing: no year, month, day or day of the week
_SYSTEM = {"role": "system", "content": "Be brief."}
_ASKED = {"role": "user", "content": "?"}
_SAID = {"role": "assistant", "content": "Yes."}
_CALL = {"id": "probe0000", "type": "function", "function": {"name": "probe", "arguments": {"argument": "value"}}}
_CALLED = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
_RESULT = {"role": "tool", "name": "probe", "tool_call_id": "probe0000", "content": "result"}
_TOOL = {"type": "function", "function": {"name": "probe", "description": "probe", "parameters": {"type": "object", "properties": {}}}}
_CONVERSATIONS: Sequence[tuple[Sequence[Mapping[str, Any]], bool]] = [
    (messages, tools)
    for begin in ((), (_SYSTEM,))
    for messages, tools in (
        ((*begin, _ASKED), False),
        ((*begin, _ASKED, _SAID), False),
        ((*begin, _ASKED), True),
        ((*begin, _ASKED, _CALLED), True),
        ((*begin, _ASKED, _CALLED, _RESULT, _SAID), True),
    )
]

_fixed: ContextVar[str] = ContextVar("fixed", default="")


def today() -> str:
    """Today's date on this machine, as ISO 8601."""
    return datetime.date.today().isoformat()


def fix_date(tokenizer: Any, date: str) -> None:
    """Let every rendering by this tokenizer that goes through `clock_of` be one of that date; '' leaves it to the day."""
    tokenizer.__dict__["swift_date"] = date


def date_of(tokenizer: Any) -> str:
    """The date that was fixed, else today's."""
    return str(tokenizer.__dict__.get("swift_date") or today())


@contextmanager
def frozen_date_of(tokenizer: Any) -> Iterator[None]:
    """Render at the tokenizer's fixed date, if it has one."""
    with frozen_date(str(tokenizer.__dict__.get("swift_date", ""))):
        yield


@contextmanager
def frozen_date(date: str) -> Iterator[None]:
    """Render at a date, midnight; '' leaves the clock alone."""
    if not date:
        yield
        return
    from transformers.utils import chat_template_utils as templates

    if not isinstance(templates.datetime, _Clock):
        templates.datetime = _Clock(templates.datetime)  # type: ignore[assignment, misc]
    before = _fixed.set(date)
    try:
        yield
    finally:
        _fixed.reset(before)


def renders_date(tokenizer: Any) -> bool:
    """Whether the tokenizer's chat template writes the date into any of some conversations."""
    return any(len({_rendered(tokenizer, messages, tools, date) for date in DATES}) > 1 for messages, tools in _CONVERSATIONS)


class _Clock:
    """Stands for `datetime` where templates ask it for the time."""

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    def now(self, zone: Any = None) -> datetime.datetime:
        """The fixed moment of this thread; the present if it has none."""
        found: datetime.datetime = datetime.datetime.fromisoformat(fixed) if (fixed := _fixed.get()) else self._theirs.now(zone)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)


def _rendered(tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: bool, date: str) -> str | None:
    said = messages[-1]["role"] == "assistant"
    try:
        with frozen_date(date):
            return str(
                tokenizer.apply_chat_template(
                    list(messages), tools=[_TOOL] if tools else None, tokenize=False, add_generation_prompt=not said
                )
            )
    except Exception:  # a template may refuse anything, in any way
        return None
