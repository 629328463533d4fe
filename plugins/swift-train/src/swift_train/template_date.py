"""Freeze the date that chat templates render: a run uses the date of its start in every process, however long it takes.

transformers gives templates one clock, `strftime_now`, which calls `datetime`; to render at a frozen date, `datetime` is replaced there
by a proxy. The date is a context variable, because one thread tokenises a stream while another renders for a checkpoint. Whether a
template renders a date is found by rendering probe conversations at different dates.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

DATES = ("1999-12-28", "2012-05-09", "2030-10-17")  # no two share a year, month, day or day of the week
_SYSTEM = {"role": "system", "content": "Be brief."}
_USER = {"role": "user", "content": "?"}
_ASSISTANT = {"role": "assistant", "content": "Yes."}
_CALL = {"id": "probe0000", "type": "function", "function": {"name": "probe", "arguments": {"argument": "value"}}}
_CALLING = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
_RESULT = {"role": "tool", "name": "probe", "tool_call_id": "probe0000", "content": "result"}
_TOOL = {"type": "function", "function": {"name": "probe", "description": "probe", "parameters": {"type": "object", "properties": {}}}}
_CONVERSATIONS: Sequence[tuple[Sequence[Mapping[str, Any]], bool]] = [
    (messages, tools)
    for begin in ((), (_SYSTEM,))
    for messages, tools in (
        ((*begin, _USER), False),
        ((*begin, _USER, _ASSISTANT), False),
        ((*begin, _USER), True),
        ((*begin, _USER, _CALLING), True),
        ((*begin, _USER, _CALLING, _RESULT, _ASSISTANT), True),
    )
]

_frozen: ContextVar[str] = ContextVar("frozen", default="")


def today() -> str:
    """Return the local date of today, in ISO 8601 format."""
    return datetime.date.today().isoformat()


def fix_date(tokenizer: Any, date: str) -> None:
    """Set the date at which `frozen_date_of` renders this tokenizer's template; '' for the current date."""
    tokenizer.__dict__["swift_date"] = date


def date_of(tokenizer: Any) -> str:
    """Return the date set for a tokenizer, or today's date if none is set."""
    return str(tokenizer.__dict__.get("swift_date") or today())


@contextmanager
def frozen_date_of(tokenizer: Any) -> Iterator[None]:
    """Render templates at the date set for a tokenizer, if any, within a context."""
    with frozen_date(str(tokenizer.__dict__.get("swift_date", ""))):
        yield


@contextmanager
def frozen_date(date: str) -> Iterator[None]:
    """Render templates at midnight of a date within a context; '' has no effect."""
    if not date:
        yield
        return
    from transformers.utils import chat_template_utils

    module: Any = chat_template_utils
    if not isinstance(module.datetime, _Clock):
        module.datetime = _Clock(module.datetime)
    token = _frozen.set(date)
    try:
        yield
    finally:
        _frozen.reset(token)


def renders_date(tokenizer: Any) -> bool:
    """Return whether the tokenizer's chat template renders the current date in any of the probe conversations."""
    return any(len({_rendered(tokenizer, messages, tools, date) for date in DATES}) > 1 for messages, tools in _CONVERSATIONS)


class _Clock:
    """Replaces `datetime` for chat templates."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def now(self, zone: Any = None) -> datetime.datetime:
        """Return midnight of the frozen date of this context, or the current time if there is none."""
        moment: datetime.datetime = datetime.datetime.fromisoformat(date) if (date := _frozen.get()) else self._wrapped.now(zone)
        return moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def _rendered(tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: bool, date: str) -> str | None:
    answered = messages[-1]["role"] == "assistant"
    try:
        with frozen_date(date):
            return str(
                tokenizer.apply_chat_template(
                    list(messages), tools=[_TOOL] if tools else None, tokenize=False, add_generation_prompt=not answered
                )
            )
    except Exception:  # a template may refuse anything, in any way
        return None
