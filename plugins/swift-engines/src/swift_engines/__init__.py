"""Jobs in the environment of an engine: a worker of that environment runs them, and its events are passed on."""

from __future__ import annotations
