"""Adapters that come and go by request, as vLLM has it; only from below folders that whoever started the server has named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from swift_http import documents
from swift_http.engine import ChatEngine, TakesAdapters
from swift_http.engine_requests import LoadAdapterRequest, UnloadAdapterRequest
from swift_http.errors import ApiError


def add_adapter_routes(app: FastAPI, engine: Any, roots: Sequence[Path]) -> None:
    """POST /v1/load_lora_adapter and /v1/unload_lora_adapter."""
    taker: TakesAdapters = engine
    served: ChatEngine = engine
    resolved = [root.resolve() for root in roots]

    @app.post("/v1/load_lora_adapter", responses=documents.ADAPTER)
    async def load_lora_adapter(body: LoadAdapterRequest) -> dict[str, Any]:
        await taker.load_adapter(body.lora_name, below(body.lora_path, resolved), allow_other_base=body.allow_other_base)
        return {"loaded": body.lora_name, "models": list(served.models)}

    @app.post("/v1/unload_lora_adapter", responses=documents.ADAPTER)
    async def unload_lora_adapter(body: UnloadAdapterRequest) -> dict[str, Any]:
        await taker.unload_adapter(body.lora_name)
        return {"unloaded": body.lora_name, "models": list(served.models)}


def below(path: str, roots: Sequence[Path]) -> Path:
    """The folder that a request names, links followed; a relative one is looked for below each root.

    Raises:
        ApiError: 400, it is below no root, or not there. The two are told in the same words, so that nobody learns what the disk has.
    """
    for root in roots:
        try:
            found = (root / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # missing, a null byte, links in a circle
            continue
        if found.is_dir() and found != root and found.is_relative_to(root):
            return found
    raise ApiError(400, "there is no such folder below those that adapters may be loaded from", param="lora_path")
