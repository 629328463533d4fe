"""OpenTelemetry spans of requests, where the API is installed; their context goes to the server as `traceparent`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.util import find_spec

_INSTALLED = find_spec("opentelemetry") is not None


@contextmanager
def span(name: str, headers: MutableMapping[str, str], attributes: Mapping[str, str]) -> Iterator[None]:
    """Trace a block as a child of the context in `headers`, which are given the new one; without the API they stay as they are."""
    if not _INSTALLED:
        yield
        return
    from opentelemetry import propagate, trace

    parent = propagate.extract(headers)
    with trace.get_tracer("swift_gateway").start_as_current_span(name, parent, trace.SpanKind.SERVER, attributes) as current:
        if current.get_span_context().is_valid:
            propagate.inject(headers)
        yield
