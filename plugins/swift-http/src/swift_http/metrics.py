"""What a server counts, for Prometheus at /metrics."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("swift_requests", "Answered requests", ["endpoint", "model", "status"], registry=self.registry)
        self._tokens = Counter("swift_tokens", "Tokens read and written", ["model", "kind"], registry=self.registry)
        self._seconds = Histogram(
            "swift_request_seconds", "From arrival to the last token", ["endpoint"], buckets=_SECONDS, registry=self.registry
        )
        self._first = Histogram(
            "swift_first_token_seconds", "From arrival to the first token", ["endpoint"], buckets=_SECONDS, registry=self.registry
        )
        self._inside = Gauge("swift_requests_in_flight", "Requests that run or wait", registry=self.registry)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def refused(self, endpoint: str, status: int) -> None:
        """A request that never reached the engine. Its model is not recorded: strangers choose that name."""
        self._requests.labels(endpoint, "", str(status)).inc()

    def begin(self, endpoint: str, model: str) -> Watch:
        """Start to watch a request."""
        self._inside.inc()
        return Watch(self, endpoint, model)

    def _end(self, watch: Watch, status: str, prompt: int, completion: int) -> None:
        self._inside.dec()
        self._requests.labels(watch.endpoint, watch.model, status).inc()
        self._seconds.labels(watch.endpoint).observe(time.monotonic() - watch.started)
        self._tokens.labels(watch.model, "prompt").inc(prompt)
        self._tokens.labels(watch.model, "completion").inc(completion)

    def _first_token(self, watch: Watch) -> None:
        self._first.labels(watch.endpoint).observe(time.monotonic() - watch.started)


class Watch:
    """One request under way."""

    def __init__(self, metrics: Metrics, endpoint: str, model: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self.started = time.monotonic()
        self._metrics = metrics
        self._spoke = False

    def token(self) -> None:
        """A piece came; the first one is timed."""
        if not self._spoke:
            self._spoke = True
            self._metrics._first_token(self)

    def end(self, status: str, *, prompt: int, completion: int) -> None:
        """The request is over: an HTTP status, or `cancelled`."""
        self._metrics._end(self, status, prompt, completion)
