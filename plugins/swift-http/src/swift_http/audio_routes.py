"""POST /v1/audio/transcriptions and /v1/audio/translations, for an engine of a speech-to-text model."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Form, Request, UploadFile
from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse, Response

from swift_http import openapi
from swift_http.active_request import ActiveRequest
from swift_http.engine import ChatEngine, Sampling
from swift_http.errors import ApiError
from swift_http.generation import check_fits
from swift_http.requests import Temperature
from swift_http.response_builders import Json, usage
from swift_http.streams import close_when_done

Admit = Callable[[Request, str, str], ActiveRequest]


class TranslationForm(BaseModel):
    """Form of POST /v1/audio/translations, into English."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    file: UploadFile
    model: str
    prompt: Literal[""] = ""  # text that precedes the recording, which is not supported
    response_format: Literal["json", "text"] = "json"
    temperature: Temperature = 0.0
    seed: int | None = None


class TranscriptionForm(TranslationForm):
    """Form of POST /v1/audio/transcriptions."""

    language: str = ""  # ISO 639-1, or its English name
    stream: Literal["false", "False", "0", ""] = ""  # streams are not supported


def add_audio_routes(app: FastAPI, engine: ChatEngine, admit: Admit) -> None:
    """Add both routes. `admit` registers a request as active."""

    @app.post("/v1/audio/transcriptions", responses=openapi.TRANSCRIPTION)
    async def transcriptions(form: Annotated[TranscriptionForm, Form()], request: Request) -> Response:
        active = admit(request, "transcriptions", form.model)
        language = {"language": form.language} if form.language else {}
        return await close_when_done(active, _answer(active, engine, form, language))

    @app.post("/v1/audio/translations", responses=openapi.TRANSCRIPTION)
    async def translations(form: Annotated[TranslationForm, Form()], request: Request) -> Response:
        active = admit(request, "translations", form.model)
        return await close_when_done(active, _answer(active, engine, form, {"task": "translate"}))


async def _answer(active: ActiveRequest, engine: Any, form: TranslationForm, variables: dict[str, str]) -> Response:
    content = await active.wait(form.file.read())
    if not content:
        raise ApiError(400, "the file is empty", param="file")
    url = f"data:{form.file.content_type or 'audio/wav'};base64,{base64.b64encode(content).decode()}"
    message = {"role": "user", "content": [{"type": "audio", "audio": url}]}
    prompt = await active.wait(asyncio.to_thread(engine.render, [message], variables=variables))
    sampling = Sampling(temperature=form.temperature, seed=form.seed)
    check_fits(prompt, sampling, engine.context, param="file")
    active.prompt_tokens = len(prompt)
    text = ""
    async with aclosing(active.pieces(prompt, sampling, ())) as pieces:
        async for piece in pieces:
            text += piece.text
    if form.response_format == "text":
        return PlainTextResponse(text.strip())
    return Json({"text": text.strip(), "usage": {"type": "tokens", **_tokens(active)}})


def _tokens(active: ActiveRequest) -> dict[str, int]:
    counted = usage(active.prompt_tokens, active.completion_tokens)
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    return {names.get(name, name): count for name, count in counted.items()}
