"""OpenAI-compatible HTTP layer over any engine that turns prompts into tokens; shared by the servers.

app = create_app(engine, api_key="…")
run(app, bind("127.0.0.1", 8000), ready=print)
"""

from __future__ import annotations

from swift_http.app import create_app
from swift_http.engine import ChatEngine, Piece, Sampling, Token
from swift_http.head_app import create_head_app
from swift_http.head_engine import HeadEngine, HeadRequest, LabelledText, Numbers
from swift_http.limits import Limits
from swift_http.server import bind, run

__all__ = [
    "ChatEngine",
    "HeadEngine",
    "HeadRequest",
    "LabelledText",
    "Limits",
    "Numbers",
    "Piece",
    "Sampling",
    "Token",
    "bind",
    "create_app",
    "create_head_app",
    "run",
]
