"""Answers one by one, with transformers' own `generate`: for models whose attention can't be batched by rows."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from swift_http import Piece, Token
from swift_http.worker import Worker, finish_request
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from swift_plugin_transformers.detokenizer import Writer, token_of
from swift_plugin_transformers.generation import Request, ServedModel, out_of_memory_as_error, plain
from swift_plugin_transformers.penalties import extra_processors
from swift_plugin_transformers.structured_output import Grammars


class SequentialWorker(Worker[Request]):
    """A worker thread that answers requests in the order they came."""

    def __init__(self, answering: ServedModel, grammars: Grammars) -> None:
        super().__init__("generate")
        self._answering = answering
        self._grammars = grammars
        self._queue: deque[Request] = deque()
        self.start()

    def hidden(self, prompt: list[int], model: str) -> Tensor:
        """The last hidden state of each token, (tokens, size); in the worker's thread."""
        with out_of_memory_as_error(), self._answering.speaking_as(model), torch.inference_mode():
            ids = torch.tensor([prompt], device=self._answering.device)
            states: Tensor = self._answering.bare.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            return states

    def busy_with(self, model: str) -> bool:
        """Whether requests for that model wait; in the worker's thread."""
        return any(request.model == model for request in self._queue)

    def forget(self, model: str) -> None:
        """Nothing is cached."""

    # -- in the worker's thread ------------------------------------------------------------------------------------------

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
                self._answering.check(request.prompt)
                with out_of_memory_as_error(), self._answering.speaking_as(request.model):
                    self._score(request) if request.score is not None else self._generate(request)
        except Exception as failure:
            error = failure
        self._queue.popleft()
        finish_request(request, error)
        if error:
            self._answering.check_alive(error)

    def _generate(self, request: Request) -> None:
        answering, sampling = self._answering, request.sampling
        recorder = _LogitsRecorder()
        writer = Writer(answering.tokenizer, answering.ends_of(sampling), sampling, request.put)
        sink = _TokenStreamer(writer, recorder if sampling.logprobs is not None else None)
        if sampling.seed is None:
            torch.seed()
        else:
            torch.manual_seed(sampling.seed)
        ids = torch.tensor([list(request.prompt)], device=answering.device)
        config = answering.config(len(request.prompt), sampling)
        own = [recorder] if sampling.logprobs is not None else []
        made = answering.processors(config, len(request.prompt), extra_processors(sampling, len(request.prompt), self._grammars))
        answering.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=plain(config),
            streamer=sink,
            stopping_criteria=StoppingCriteriaList([_CancelledCriteria(request)]),
            logits_processor=LogitsProcessorList([*own, *made]),
        )
        writer.finish()

    @torch.inference_mode()
    def _score(self, request: Request) -> None:
        prompt, tokenizer = list(request.prompt), self._answering.tokenizer
        ids = torch.tensor([prompt], device=self._answering.device)
        logits = self._answering.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1]
        scored = [token_of(tokenizer, token, row, request.score or 0) for token, row in zip(prompt[1:], logits, strict=True)]
        request.put(Piece("", (Token(prompt[0], tokenizer.decode([prompt[0]])), *scored)))


class _TokenStreamer(BaseStreamer):
    """What `generate` gives its tokens to; the first call brings the prompt."""

    def __init__(self, writer: Writer, recorder: _LogitsRecorder | None) -> None:
        self._writer = writer
        self._recorder = recorder
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if self._prompt_seen:
            self._writer.token(int(value.reshape(-1)[0]), self._recorder.rows.popleft() if self._recorder else None)
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing: the last piece is made after an error of `generate` would have shown."""


class _LogitsRecorder(LogitsProcessor):
    """Sees the logits of each step, as the model gave them."""

    def __init__(self) -> None:
        self.rows: deque[Tensor] = deque()  # some devices stream a step late

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.rows.append(scores[0].clone())
        return scores


class _CancelledCriteria(StoppingCriteria):
    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self._request.cancelled.is_set(), device=input_ids.device)
