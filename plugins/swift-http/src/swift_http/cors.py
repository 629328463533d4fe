"""CORS: the web pages that may read responses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from swift_core.contract import UsageError

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s*]+")


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Add CORS headers for these origins.

    Raises:
        UsageError: an entry is not an origin, so that no browser would ever send it.
    """
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"'{origin}' is not an origin",
                code="SERVE-013",
                where="cors_origin",
                hint="Write https://HOST or https://HOST:PORT, without a path; or *.",
            )
    app.add_middleware(
        CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=["Retry-After"]
    )
