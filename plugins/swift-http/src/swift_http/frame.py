"""The frame of every app: authentication, limits, errors, CORS, and the admission of requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastapi import FastAPI, Request

from swift_http import errors, openapi
from swift_http.active_request import ActiveRequest
from swift_http.cors import allow_origins
from swift_http.engine import ChatEngine
from swift_http.errors import ApiError, unknown_model
from swift_http.guard import Guard
from swift_http.head_engine import HeadEngine
from swift_http.limits import AdmissionControl, Limits
from swift_http.metrics import Metrics


class Frame(NamedTuple):
    """An app without routes.

    Attributes:
        app: the application.
        admit: registers a request as active, from (request, endpoint, model).
        metrics: of the app.
    """

    app: FastAPI
    admit: Callable[[Request, str, str], ActiveRequest]
    metrics: Metrics


def make_frame(engine: ChatEngine | HeadEngine, *, api_key: str | None, limits: Limits, origins: Sequence[str]) -> Frame:
    """Make the app; arguments and errors as of `create_app`."""
    app = FastAPI(title="swift-core", summary="An OpenAI-compatible server", docs_url=None, redoc_url=None, responses=openapi.ERRORS)
    errors.install(app)
    app.add_middleware(Guard, api_key=api_key, max_body_bytes=limits.max_body_bytes, body_timeout=limits.body_timeout)
    if origins:
        allow_origins(app, origins)  # outside the guard: browsers send preflight requests without the key
    admission, metrics = AdmissionControl(limits), Metrics()
    app.state.admission, app.state.engine = admission, engine

    def admit(request: Request, endpoint: str, model: str) -> ActiveRequest:
        try:
            if model not in engine.models:
                raise unknown_model(model, engine.models)
            return ActiveRequest(request, engine, admission, metrics, endpoint=endpoint, model=model)
        except ApiError as error:
            metrics.refused(endpoint, error.status_code)
            raise

    return Frame(app, admit, metrics)
