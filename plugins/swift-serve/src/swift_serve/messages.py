"""Convert messages to OpenAI's API format; local media files are sent in the request, as data: URLs."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_data.rows.media import Source, resolve
from swift_data.rows.values import Wrong

from swift_core.contract import UsageError

_OURS = ("loss_scale",)
_SPELLED = {"image": "image_url", "video": "video_url"}  # video_url is vLLM's extension


def image_part(source: str) -> dict[str, Any]:
    """Return the message part of an image, given by its path or URL.

    Raises:
        UsageError: there is no such file, or it is not an image.
    """
    where = source if "://" in source or source.startswith("data:") else str(Path(source).expanduser().absolute())
    try:
        return {"type": "image", "image": resolve(Source(where, "$"), "image", Path("/"))}
    except Wrong as wrong:
        raise UsageError(
            wrong.message, code=wrong.code, where="images", hint="Give an image file: png, jpeg, gif, webp, bmp or tiff."
        ) from None


def api_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of a row or a conversation in the format of a request."""
    converted = {key: value for key, value in message.items() if key not in _OURS}
    if not isinstance(converted.get("content"), str):
        converted["content"] = [_part(part) for part in converted.get("content") or ()]
    if message.get("tool_calls"):
        converted["tool_calls"] = [_call(call, number) for number, call in enumerate(message["tool_calls"])]
    return converted


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "audio":
        address = _address(part["audio"])
        media, _, data = address.removeprefix("data:").partition(";base64,")
        return {"type": "input_audio", "input_audio": {"data": data, "format": media.rpartition("/")[2]}}
    if kind in _SPELLED:
        return {"type": _SPELLED[kind], _SPELLED[kind]: {"url": _address(part[kind])}}
    return dict(part)


def _call(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    function = call["function"]
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id") or f"call_{number}", "type": "function", "function": {"name": function["name"], "arguments": text}}


def _address(source: str) -> str:
    if source.startswith(("http://", "https://", "data:")):
        return source
    kind = mimetypes.guess_type(source)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(Path(source).read_bytes()).decode()}"
