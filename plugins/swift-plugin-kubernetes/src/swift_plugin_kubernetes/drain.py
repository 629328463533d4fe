"""Wait until a server has no request in flight: `python -m swift_plugin_kubernetes.drain METRICS_URL SECONDS METRIC…`.

The preStop hook of a serving pod. Kubernetes removes the pod from the Service at the same time as it runs the hook, and sends SIGTERM
after it. New requests still arrive for a moment, so the hook first waits for `SETTLE` seconds. It uses only the standard library.
"""

from __future__ import annotations

import os
import re
import sys
import time
import urllib.request
from collections.abc import Sequence

SETTLE = 5.0  # seconds until all nodes have dropped the pod from the Service
_POLL = 1.0  # seconds between two scrapes
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE)


def in_flight(text: str, metrics: Sequence[str]) -> float:
    """Return the sum of the samples of these gauges in the Prometheus text format."""
    return sum(float(value) for name, value in _SAMPLE.findall(text) if name in metrics)


def drain(url: str, seconds: float, metrics: Sequence[str], *, key: str = "", settle: float = SETTLE) -> bool:
    """Wait until the gauges sum to zero, or `seconds` have passed; return whether they do. A server that doesn't answer has ended."""
    deadline = time.monotonic() + seconds
    time.sleep(min(settle, seconds))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_POLL * 5) as answer:
                if not in_flight(answer.read().decode(), metrics):
                    return True
        except TimeoutError:
            pass
        except OSError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)


if __name__ == "__main__":
    drain(sys.argv[1], float(sys.argv[2]), sys.argv[3:], key=os.environ.get("SWIFT_API_KEY", ""))
