"""Change adapters and weights at runtime, with routes of vLLM and SGLang; they must lie below folders that the server was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from swift_http import openapi
from swift_http.engine import ChatEngine, SupportsRuntimeAdapters, SupportsRuntimeWeights
from swift_http.errors import ApiError
from swift_http.vllm_requests import LoadAdapterRequest, UnloadAdapterRequest, UpdateWeightsRequest


def add_adapter_routes(app: FastAPI, engine: Any, roots: Sequence[Path]) -> None:
    """Add POST /v1/load_lora_adapter and POST /v1/unload_lora_adapter; `roots` are the allowed folders."""
    adapters: SupportsRuntimeAdapters = engine
    served: ChatEngine = engine
    resolved = [root.resolve() for root in roots]

    @app.post("/v1/load_lora_adapter", responses=openapi.ADAPTER)
    async def load_lora_adapter(body: LoadAdapterRequest) -> dict[str, Any]:
        folder = resolve_below(body.lora_path, resolved, "lora_path")
        await adapters.load_adapter(body.lora_name, folder, allow_other_base=body.allow_other_base)
        return {"loaded": body.lora_name, "models": list(served.models)}

    @app.post("/v1/unload_lora_adapter", responses=openapi.ADAPTER)
    async def unload_lora_adapter(body: UnloadAdapterRequest) -> dict[str, Any]:
        await adapters.unload_adapter(body.lora_name)
        return {"unloaded": body.lora_name, "models": list(served.models)}


def add_weight_routes(app: FastAPI, engine: Any, roots: Sequence[Path]) -> None:
    """Add POST /update_weights_from_disk, as SGLang has it; `roots` are the allowed folders."""
    served: SupportsRuntimeWeights = engine
    resolved = [root.resolve() for root in roots]

    @app.post("/update_weights_from_disk", responses=openapi.WEIGHTS)
    async def update_weights_from_disk(body: UpdateWeightsRequest) -> dict[str, Any]:
        await served.update_weights(resolve_below(body.model_path, resolved, "model_path"))
        return {"success": True, "message": "the weights were replaced"}


def resolve_below(path: str, roots: Sequence[Path], field: str) -> Path:
    """Return the folder that a request names, with symbolic links resolved; a relative path is resolved against each root.

    Raises:
        ApiError: 400, it does not exist or is below no root. Both cases have the same message, so that clients can't probe the disk.
    """
    for root in roots:
        try:
            found = (root / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # missing, a null byte, a loop of links
            continue
        if found.is_dir() and found != root and found.is_relative_to(root):
            return found
    raise ApiError(400, "no such folder below the folders that adapters and weights may be loaded from", param=field)
