"""Which web pages may read answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from swift_core.contract.errors import UsageError

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s*]+")


def allow(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins read answers.

    Raises:
        UsageError: one is none: a browser would never send it.
    """
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"'{origin}' is no origin", where="cors_origin", hint="Write https://HOST or https://HOST:PORT, without a path; or *."
            )
    app.add_middleware(
        CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=["Retry-After"]
    )
