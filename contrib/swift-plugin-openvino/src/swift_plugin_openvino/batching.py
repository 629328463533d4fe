"""Continuous batching: one thread owns OpenVINO's pipeline; requests join and leave between its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from openvino import Tensor
from openvino_genai import ContinuousBatchingPipeline, GenerationConfig, GenerationFinishReason, GenerationStatus
from swift_http import Piece, Token
from swift_http.worker import Worker, finish_request

from swift_core.contract import SwiftError
from swift_plugin_openvino.detokenizer import Decode, Detokenizer

PAUSE = 0.0005  # seconds between steps: a step holds the GIL, so the HTTP threads run only in the pauses


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """A generation request.

    `put` is called with each piece of the response, and at the end with None or an error; `decode` turns token ids into text. If `texts` is
    true, each token comes with its text and log-probability.
    """

    prompt: Sequence[int]
    config: GenerationConfig
    decode: Decode
    texts: bool
    put: Callable[[Piece | BaseException | None], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def done(self, error: BaseException | None) -> None:
        """End the response, with an error if there is one."""
        self.put(error)


class Batcher(Worker[Request]):
    """The thread that runs the pipeline.

    A pipeline that fails in a step can't be used again, so the worker then fails for good.

    Args:
        pipeline: from now on used by this thread only.
    """

    def __init__(self, pipeline: ContinuousBatchingPipeline) -> None:
        super().__init__("openvino")
        self._pipeline = pipeline
        self._active: list[_Answer] = []
        self._number = 0
        self.start()

    # -- in the thread ---------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return bool(self._active) or self._pipeline.has_non_finished_requests()

    def _unfinished(self) -> list[Request]:
        return [answer.request for answer in self._active]

    def _take(self, request: Request) -> None:
        if request.cancelled.is_set():
            finish_request(request, None)
            return
        self._number += 1
        try:
            prompt = Tensor(numpy.array([request.prompt], dtype=numpy.int64))
            handle = self._pipeline.add_request(self._number, prompt, request.config)
        except Exception as error:
            finish_request(request, error)
        else:
            self._active.append(_Answer(request, handle))

    def _step(self) -> None:
        for answer in [answer for answer in self._active if answer.request.cancelled.is_set()]:
            answer.handle.cancel()  # frees its KV cache after the next step
            self._end(answer)
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        for answer in list(self._active):
            try:
                ended = answer.read()
            except Exception as error:
                answer.handle.cancel()
                self._end(answer, error)
            else:
                if ended:
                    self._end(answer)
        time.sleep(PAUSE)

    def _end(self, answer: _Answer, error: BaseException | None = None) -> None:
        self._active.remove(answer)
        finish_request(answer.request, error)


class _Answer:
    """A request in progress, and the response so far."""

    def __init__(self, request: Request, handle: Any) -> None:
        self.request = request
        self.handle = handle
        self._text = Detokenizer(request.decode)

    def read(self) -> bool:
        """Pass on the output of the last step, and return True if the response is complete.

        Raises:
            SwiftError: the KV cache is too small for the request.
        """
        reason = GenerationFinishReason.NONE
        while self.handle.can_read():
            (output,) = self.handle.read().values()
            for token, logprob in zip(output.generated_ids, output.generated_log_probs, strict=True):
                self._token(token, logprob)
            reason = output.finish_reason
        status = self.handle.get_status()
        if status == GenerationStatus.RUNNING:
            return False
        if status != GenerationStatus.FINISHED:
            raise SwiftError(
                "the KV cache is too small for this request", code="EXPORT-001", hint="Start the server with a larger --cache-gib."
            )
        self.request.put(Piece(self._text.flush(), (), "stop" if reason == GenerationFinishReason.STOP else "length"))
        return True

    def _token(self, token: int, logprob: float) -> None:
        text = "" if token in self.request.config.stop_token_ids else self._text.push(token)
        item = Token(token, self.request.decode([token]), logprob) if self.request.texts else Token(token, "")
        self.request.put(Piece(text, (item,)))
