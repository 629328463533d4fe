"""Events of a run: what its job reports, one JSON object per line, in `events.jsonl` and to the command that started it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from swift_core.contract.errors import ErrorRecord

Status = Literal["done", "failed", "stopped", "prepared", "submitted"]
"""The outcome of a run. One that a scheduler does later is `prepared` or `submitted`."""


class _Recorded(TypedDict, total=False):
    time: float  # seconds since the epoch, in events.jsonl


class ProgressEvent(_Recorded):
    """The progress of a stage, in `unit`s; `total` may be unknown. `figures` are shown beside the bar. It is not kept in events.jsonl."""

    event: Literal["progress"]
    what: str
    done: int
    total: int | None
    unit: str
    figures: Mapping[str, float]


class MetricEvent(_Recorded):
    """Metrics of a step by name; also a line of metrics.jsonl."""

    event: Literal["metric"]
    step: int
    values: Mapping[str, float]


class NoteEvent(_Recorded):
    """A text for the user."""

    event: Literal["note"]
    text: str


class ReadyEvent(_Recorded):
    """A server answers at `url`; see `Server`. `metrics` is the address of its metrics, and `api_key` a key made for this run."""

    event: Literal["ready"]
    url: str
    models: Sequence[str]
    metrics: str
    host: str
    port: int
    api_key: str | None
    seconds: float


class ResultEvent(_Recorded):
    """The job has finished: the path of its output ('' for none) and its figures."""

    event: Literal["result"]
    status: Status
    output: str
    figures: Mapping[str, Any]


class ErrorEvent(_Recorded, ErrorRecord):
    """The job failed for a known reason."""

    event: Literal["error"]


class KilledEvent(_Recorded):
    """A signal ended process `rank` of `ranks`, with exit code `code`."""

    event: Literal["killed"]
    rank: int
    ranks: int
    code: int


class AdapterEvent(_Recorded, total=False):
    """An adapter was added to a running server, or dropped. It is only in events.jsonl."""

    event: Literal["adapter_added", "adapter_dropped"]
    name: str
    path: str
    hash: str


Event: TypeAlias = ProgressEvent | MetricEvent | NoteEvent | ReadyEvent | ResultEvent | ErrorEvent | KilledEvent | AdapterEvent
Watch = Callable[[Event], None]
"""Called with each event of a run, in order."""


class ResultRecord(TypedDict, total=False):
    """The contents of `result.json`, also passed to `swift_run_finished`: `error` and `code` (of the error) only if the run failed."""

    schema: int
    status: Status
    folder: str
    output: str
    figures: Mapping[str, Any]
    error: str
    code: str
    seconds: float


def note(text: str) -> NoteEvent:
    """Return the event of a text for the user."""
    return {"event": "note", "text": text}


def progress(what: str, done: int, total: int | None, unit: str = "", **figures: float) -> ProgressEvent:
    """Return the event of a stage that is so far."""
    return {"event": "progress", "what": what, "done": done, "total": total, "unit": unit, "figures": figures}
