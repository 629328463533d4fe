"""FastAPI application over a `HeadEngine`: vectors, classes and scores of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from swift_http import openapi
from swift_http.adapter_routes import add_adapter_routes
from swift_http.engine import SupportsRuntimeAdapters
from swift_http.frame import make_frame
from swift_http.guard import PUBLIC_PATHS
from swift_http.head_engine import HeadEngine
from swift_http.head_routes import add_head_routes, refuse_generation
from swift_http.info_routes import add_info_routes
from swift_http.limits import Limits


def create_head_app(
    engine: HeadEngine,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    adapter_folders: Sequence[Path] = (),
    origins: Sequence[str] = (),
) -> FastAPI:
    """Create an app over an engine that generates no text; arguments and errors as of `create_app`."""
    app, admit, metrics = make_frame(engine, api_key=api_key, limits=limits or Limits(), origins=origins)
    add_head_routes(app, engine, admit)
    refuse_generation(app, engine)
    if isinstance(engine, SupportsRuntimeAdapters) and adapter_folders:
        add_adapter_routes(app, engine, adapter_folders)
    add_info_routes(app, engine, metrics)
    if api_key:
        openapi.require_key(app, PUBLIC_PATHS)
    return app
