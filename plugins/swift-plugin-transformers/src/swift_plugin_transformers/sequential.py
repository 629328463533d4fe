"""Fallback without batching: one request after another with transformers' `generate`, for models that `varlen` does not support."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import torch
from swift_http import Piece, Token
from swift_http.worker import finish_request
from swift_train.media.micro import in_dtype
from torch import Tensor
from transformers import GenerationMixin, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from swift_core.contract import UsageError
from swift_plugin_transformers.detokenizer import Writer, token_of, token_text
from swift_plugin_transformers.generation import Request, ServedModel, out_of_memory_as_error, without_processors
from swift_plugin_transformers.penalties import extra_processors
from swift_plugin_transformers.serving_worker import ServingWorker
from swift_plugin_transformers.structured_output import Grammars


class SequentialWorker(ServingWorker[Request]):
    """Worker thread that computes requests one at a time, in order of arrival."""

    def __init__(self, served: ServedModel, grammars: Grammars) -> None:
        super().__init__("generate")
        self._served = served
        self._grammars = grammars
        self._queue: deque[Request] = deque()
        self.start()

    def hidden_states(self, prompt: list[int], model: str) -> Tensor:
        """Return the last hidden state of each token, (tokens, hidden size). Call it in the worker thread."""
        if self._served.encoder_decoder:
            message = "an encoder-decoder model gives no vectors of a text"
            raise UsageError(message, code="MODEL-060", where="model", hint="Serve an embedding model.")
        with out_of_memory_as_error(), self._served.using_adapter(model), torch.inference_mode():
            ids = torch.tensor([prompt], device=self._served.device)
            states: Tensor = self._served.unwrapped.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            return states

    def is_using(self, model: str) -> bool:
        """Return whether there are requests for that model. Call it in the worker thread."""
        return any(request.model == model for request in self._queue)

    # -- in the worker thread --------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return bool(self._queue)

    def _take(self, request: Request) -> None:
        self._queue.append(request)

    def _unfinished(self) -> list[Request]:
        return list(self._queue)

    def _step(self) -> None:
        request = self._queue[0]
        error: Exception | None = None
        try:
            if not request.cancelled.is_set():
                self._served.check_prompt(request.prompt)
                with out_of_memory_as_error(), self._served.using_adapter(request.model):
                    self._score(request) if request.score is not None else self._generate(request)
        except Exception as failure:
            error = failure
        self._queue.popleft()
        finish_request(request, error)
        if error:
            self._served.check_alive(error)

    def _generate(self, request: Request) -> None:
        served, sampling = self._served, request.sampling
        recorder = _LogitsRecorder()
        writer = Writer(served.tokenizer, served.eos_for(sampling), sampling, request.put)
        streamer = _TokenStreamer(writer, recorder if sampling.logprobs is not None else None)
        if sampling.seed is None:
            torch.seed()
        else:
            torch.manual_seed(sampling.seed)
        ids = torch.tensor([list(request.prompt)], device=served.device)
        if served.speech and not request.inputs:
            message = "this model writes down recordings, and the request has none"
            raise UsageError(message, code="MODEL-065", where="prompt", hint="Send the file to /v1/audio/transcriptions.")
        ahead = served.ahead(request.prompt)
        config = served.generation_config(ahead, sampling)
        recorders = [recorder] if sampling.logprobs is not None else []
        made = served.logits_processors(config, ahead, extra_processors(sampling, ahead, self._grammars))
        generate, prompt = served.model.generate, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if served.speech:  # Whisper's own generate splits recordings and predicts timestamps
            generate, prompt = partial(GenerationMixin.generate, served.unwrapped), {"decoder_input_ids": ids}
        generate(
            **prompt,
            **self._inputs(request),
            generation_config=without_processors(config),
            streamer=streamer,
            stopping_criteria=StoppingCriteriaList([_CancelledCriteria(request)]),
            logits_processor=LogitsProcessorList([*made, *recorders] if served.processed_logprobs else [*recorders, *made]),
        )
        writer.finish()

    def _inputs(self, request: Request) -> dict[str, Tensor]:
        served = self._served
        kind = served.unwrapped.dtype
        inputs = {name: in_dtype(value, kind, always=served.speech) for name, value in request.inputs.items()}
        return {name: value.to(served.device) for name, value in inputs.items()}

    @torch.inference_mode()
    def _score(self, request: Request) -> None:
        prompt, tokenizer = list(request.prompt), self._served.tokenizer
        ids = torch.tensor([prompt], device=self._served.device)
        given = {"attention_mask": torch.ones_like(ids), **self._inputs(request)}
        logits = self._served.model(input_ids=ids, use_cache=False, **given).logits[0, :-1]
        scored = [token_of(tokenizer, token, row, request.score or 0) for token, row in zip(prompt[1:], logits, strict=True)]
        request.put(Piece("", (Token(prompt[0], token_text(tokenizer, prompt[0])), *scored)))


class _TokenStreamer(BaseStreamer):
    """Streamer that passes the tokens of `generate` to a writer; the first call has the prompt."""

    def __init__(self, writer: Writer, recorder: _LogitsRecorder | None) -> None:
        self._writer = writer
        self._recorder = recorder
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if self._prompt_seen:
            self._writer.token(int(value.reshape(-1)[0]), self._recorder.logits.popleft() if self._recorder else None)
        self._prompt_seen = True

    def end(self) -> None:
        """Do nothing: the last piece is written after `generate` has returned without an error."""


class _LogitsRecorder(LogitsProcessor):
    """Records the logits of each step, as they are at its place among the processors."""

    def __init__(self) -> None:
        self.logits: deque[Tensor] = deque()  # a queue, since some devices stream one step late

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.logits.append(scores[0].clone())
        return scores


class _CancelledCriteria(StoppingCriteria):
    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self._request.cancelled.is_set(), device=input_ids.device)
