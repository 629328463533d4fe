"""Continuous batching: requests join and leave between the steps of one forward pass over all of them (see `rows`).

A request is let in when its whole length fits into the room that is left, so that nothing that has begun is ever put off or computed
twice. Prompts are read in chunks beside the answers that are being written. Requests for different adapters take turns, step by step.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from swift_http import Piece, Token
from swift_http.worker import Worker, finish_request
from torch import Tensor

from swift_core.contract.errors import UsageError
from swift_plugin_transformers.detokenizer import Writer, token_of
from swift_plugin_transformers.generation import Request, ServedModel, out_of_memory_as_error
from swift_plugin_transformers.penalties import extra_processors
from swift_plugin_transformers.prefix_cache import PrefixCache
from swift_plugin_transformers.structured_output import Grammars
from swift_plugin_transformers.varlen import SequenceCache, Uncached, forward

STEP = 512  # new tokens in one forward pass


class Batcher(Worker[Request]):
    """A worker thread that answers up to `rows` requests at once.

    Args:
        answering: the model.
        grammars: what keeps answers to a schema.
        tokens: that may be in memory at once.
        rows: most requests in one step.
    """

    def __init__(self, answering: ServedModel, grammars: Grammars, *, tokens: int, rows: int) -> None:
        super().__init__("generate")
        self.room = PrefixCache(tokens)
        self._answering = answering
        self._grammars = grammars
        self._rows = rows
        self._queue: deque[Request] = deque()
        self._active: list[_Sequence] = []
        self.start()

    def hidden(self, prompt: list[int], model: str) -> Tensor:
        """The last hidden state of each token, (tokens, size); in the worker's thread."""
        with out_of_memory_as_error(), self._answering.speaking_as(model), torch.inference_mode():
            states: Tensor = forward(self._answering.bare.base_model, [(Uncached(len(prompt)), prompt)]).last_hidden_state[0]
            return states

    def busy_with(self, model: str) -> bool:
        """Whether requests for that model are being answered; in the worker's thread."""
        return any(request.model == model for request in [*self._queue, *(sequence.request for sequence in self._active)])

    def forget(self, model: str) -> None:
        """Drop what is cached for a model; in the worker's thread."""
        self.room.forget(model)

    # -- in the worker's thread ------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return bool(self._active or self._queue)

    def _take(self, request: Request) -> None:
        self._queue.append(request)

    def _unfinished(self) -> list[Request]:
        return [*self._queue, *(sequence.request for sequence in self._active)]

    def _step(self) -> None:
        self._drop_cancelled()
        self._let_in()
        if self._active:
            self._advance()

    def _drop_cancelled(self) -> None:
        for request in [request for request in self._queue if request.cancelled.is_set()]:
            self._queue.remove(request)
            finish_request(request, None)
        for sequence in [sequence for sequence in self._active if sequence.request.cancelled.is_set()]:
            self._end(sequence)

    def _let_in(self) -> None:
        while self._queue and len(self._active) < self._rows:
            request = self._queue[0]
            try:
                sequence = self._admit(request)
            except Exception as error:
                finish_request(request, error)
            else:
                if sequence is None:
                    return  # the first waits for room; those behind it don't overtake
                self._active.append(sequence)
            self._queue.popleft()

    def _admit(self, request: Request) -> _Sequence | None:
        """The request as a sequence with a row of its own; None: there is no room yet.

        Raises:
            UsageError: a token that the model does not have, or more tokens than may ever be in memory.
        """
        self._answering.check(request.prompt)
        config = self._answering.config(len(request.prompt), request.sampling)
        answer = 0 if request.score is not None else int(config.max_new_tokens)
        most = self.room.tokens - len(request.prompt)
        if request.sampling.max_tokens is None and max(request.sampling.min_tokens, 1) <= most < answer:
            answer = most  # a limit that the request did not set
        if answer > most:
            raise UsageError(
                f"the prompt has {len(request.prompt)} tokens and the answer may have {answer}; there is memory for {self.room.tokens}",
                hint="Ask for less with max_tokens, or start the server with more --memory.",
            )
        row = self.room.take(request.model, request.prompt, len(request.prompt) + answer, reuse=request.score is None)
        if row is None:
            return None
        try:
            processors = self._answering.processors(
                config, len(request.prompt), extra_processors(request.sampling, len(request.prompt), self._grammars)
            )
            return _Sequence(request, row, self._answering, processors, sample=bool(config.do_sample))
        except BaseException:
            self.room.used -= row.room
            raise

    def _advance(self) -> None:
        """One forward pass for the sequences of the model whose turn it is.

        Raises:
            Exception: that of the pass, if the model can compute nothing any more.
        """
        model = self._active[0].request.model
        parts: list[tuple[_Sequence, list[int]]] = []
        left = STEP
        for sequence in self._active:
            if sequence.request.model == model and left > 0:
                parts.append((sequence, sequence.tokens[sequence.row.length :][:left]))
                left -= len(parts[-1][1])
        taken = [sequence for sequence, _ in parts]
        self._active = [*(sequence for sequence in self._active if sequence not in taken), *taken]  # others come first next time
        every = any(sequence.request.score is not None for sequence in taken)
        try:
            with out_of_memory_as_error(), self._answering.speaking_as(model), torch.inference_mode():
                logits = forward(self._answering.bare, [(sequence.row, new) for sequence, new in parts], every=every).logits[0]
        except Exception as error:
            self.room.forget()
            for sequence in taken:
                self._end(sequence, error)
            self._answering.check_alive(error)
            return
        end = 0
        for number, (sequence, new) in enumerate(parts):
            end += len(new)
            self._go_on(sequence, logits[end - len(new) : end] if every else logits[number : number + 1])

    def _go_on(self, sequence: _Sequence, logits: Tensor) -> None:
        """Give a sequence its logits. What fails here is its own: the others of the step go on."""
        try:
            with out_of_memory_as_error(), torch.inference_mode():
                sequence.take(logits)
        except Exception as error:
            self._end(sequence, error)
        else:
            if sequence.finished:
                self._end(sequence)

    def _end(self, sequence: _Sequence, error: BaseException | None = None) -> None:
        self._active.remove(sequence)
        if error is None and not sequence.request.cancelled.is_set():
            try:
                sequence.finish()
            except Exception as failure:
                error = failure
        if error is None:
            self.room.give_back(sequence.request.model, sequence.tokens, sequence.row)
        else:
            self.room.used -= sequence.row.room
        finish_request(sequence.request, error)


class _Sequence:
    """A request that is being answered. `tokens` are its prompt and what was written; those beyond the row are still to be read."""

    def __init__(self, request: Request, row: SequenceCache, answering: ServedModel, processors: Any, *, sample: bool) -> None:
        self.request = request
        self.row = row
        self.tokens = list(request.prompt)
        self._tokenizer = answering.tokenizer
        self._writer = Writer(answering.tokenizer, answering.ends_of(request.sampling), request.sampling, request.put)
        self._processors = processors
        self._random: torch.Generator | None = None
        if sample:
            self._random = torch.Generator(answering.device)
            if request.sampling.seed is None:
                self._random.seed()
            else:
                self._random.manual_seed(request.sampling.seed)

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be computed."""
        if self.request.score is not None:
            return self.row.length >= len(self.tokens)
        return self._writer.ended or len(self.tokens) >= self.row.room

    def take(self, logits: Tensor) -> None:
        """Go on with the logits, (positions, vocabulary), of the tokens that were read last, or of the very last one."""
        if self.request.score is not None:
            self._scored(logits)
        elif self.row.length == len(self.tokens):
            token = self._choose(logits[-1].float())
            self.tokens.append(token)
            self._writer.token(token, logits[-1])

    def finish(self) -> None:
        """Say the last piece."""
        if self.request.score is None:
            self._writer.finish()

    def _scored(self, logits: Tensor) -> None:
        start = self.row.length - len(logits)
        first = [Token(self.tokens[0], self._tokenizer.decode([self.tokens[0]]))] if start == 0 else []
        following = self.tokens[start + 1 : self.row.length + 1]
        scored = [token_of(self._tokenizer, token, row, self.request.score or 0) for token, row in zip(following, logits, strict=False)]
        self.request.put(Piece("", (*first, *scored)))

    def _choose(self, logits: Tensor) -> int:
        if self._processors:
            logits = self._processors(torch.tensor([self.tokens], device=logits.device), logits[None])[0]
        if self._random is None:
            return int(logits.argmax())
        return int(torch.multinomial(logits.softmax(-1), 1, generator=self._random))
