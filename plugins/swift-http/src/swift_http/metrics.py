"""Prometheus metrics of the server, exposed at /metrics."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The metrics of one app, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("swift_requests", "Finished requests", ["endpoint", "model", "status"], registry=self.registry)
        self._tokens = Counter("swift_tokens", "Prompt and completion tokens", ["model", "kind"], registry=self.registry)
        self._seconds = Histogram(
            "swift_request_seconds", "Seconds from arrival to the last token", ["endpoint"], buckets=_SECONDS, registry=self.registry
        )
        self._first_token_seconds = Histogram(
            "swift_first_token_seconds", "Seconds from arrival to the first token", ["endpoint"], buckets=_SECONDS, registry=self.registry
        )
        self._in_flight = Gauge("swift_requests_in_flight", "Requests that are running or waiting", registry=self.registry)

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def refused(self, endpoint: str, status: int) -> None:
        """Count a request that was rejected before generation. Its model name is not recorded, since clients choose it freely."""
        self._requests.labels(endpoint, "", str(status)).inc()

    def begin(self, endpoint: str, model: str) -> RequestMetrics:
        """Start measuring a request."""
        self._in_flight.inc()
        return RequestMetrics(self, endpoint, model)

    def _end(self, request: RequestMetrics, status: str, prompt: int, completion: int) -> None:
        self._in_flight.dec()
        self._requests.labels(request.endpoint, request.model, status).inc()
        self._seconds.labels(request.endpoint).observe(time.monotonic() - request.started)
        self._tokens.labels(request.model, "prompt").inc(prompt)
        self._tokens.labels(request.model, "completion").inc(completion)

    def _first_token(self, request: RequestMetrics) -> None:
        self._first_token_seconds.labels(request.endpoint).observe(time.monotonic() - request.started)


class RequestMetrics:
    """Measurements of one request in progress."""

    def __init__(self, metrics: Metrics, endpoint: str, model: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self.started = time.monotonic()
        self._metrics = metrics
        self._first_seen = False

    def token(self) -> None:
        """Record a generated token; the first one is timed."""
        if not self._first_seen:
            self._first_seen = True
            self._metrics._first_token(self)

    def end(self, status: str, *, prompt: int, completion: int) -> None:
        """Record the end of the request; `status` is an HTTP status or `cancelled`."""
        self._metrics._end(self, status, prompt, completion)
