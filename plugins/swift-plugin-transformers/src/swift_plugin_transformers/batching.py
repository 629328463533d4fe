"""Continuous batching: requests join and leave between forward passes that compute many sequences at once (see `varlen`).

A request is admitted once its maximum length fits into the remaining memory, so that an admitted request is never preempted or recomputed.
Prefill is chunked: prompts are computed in chunks in the same passes as other requests' decoding steps. A pass uses one adapter; requests
for different adapters alternate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from swift_http.worker import finish_request
from torch import Tensor

from swift_core.contract import UsageError
from swift_plugin_transformers.active_sequence import ActiveSequence
from swift_plugin_transformers.generation import Request, ServedModel, out_of_memory_as_error
from swift_plugin_transformers.penalties import extra_processors
from swift_plugin_transformers.prefix_cache import PrefixCache
from swift_plugin_transformers.serving_worker import ServingWorker
from swift_plugin_transformers.speculation import Speculation
from swift_plugin_transformers.structured_output import Grammars
from swift_plugin_transformers.varlen import NoCache, forward

TOKENS_PER_STEP = 512  # maximum number of new tokens in one forward pass
MAX_SPECULATING = 4  # sequences in a pass; with more, drafts cost more than they save


class Batcher(ServingWorker[Request]):
    """Worker thread that computes up to `batch_size` requests at once.

    Args:
        served: the model.
        grammars: grammars for structured output.
        cache_tokens: capacity of the key-value cache, in tokens.
        batch_size: maximum number of requests in one forward pass.
        speculation: drafts tokens of a request of up to that many tokens; None: no speculative decoding.
    """

    def __init__(
        self,
        served: ServedModel,
        grammars: Grammars,
        *,
        cache_tokens: int,
        batch_size: int,
        speculation: Callable[[int], Speculation] | None = None,
    ) -> None:
        super().__init__("generate")
        self.prefix_cache = PrefixCache(cache_tokens)
        self._served = served
        self._grammars = grammars
        self._batch_size = batch_size
        self._speculation = speculation
        self._queue: deque[Request] = deque()
        self._active: list[ActiveSequence] = []
        self.start()

    def hidden_states(self, prompt: list[int], model: str) -> Tensor:
        """Return the last hidden state of each token, (tokens, hidden size). Call it in the worker thread."""
        with out_of_memory_as_error(), self._served.using_adapter(model), torch.inference_mode():
            states: Tensor = forward(self._served.unwrapped.base_model, [(NoCache(len(prompt)), prompt)]).last_hidden_state[0]
            return states

    def is_using(self, model: str) -> bool:
        """Return whether there are requests for that model. Call it in the worker thread."""
        return any(request.model == model for request in [*self._queue, *(sequence.request for sequence in self._active)])

    def evict(self, model: str) -> None:
        """Drop the cached prefixes of a model. Call it in the worker thread."""
        self.prefix_cache.evict(model)

    # -- in the worker thread --------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return bool(self._active or self._queue)

    def _take(self, request: Request) -> None:
        self._queue.append(request)

    def _unfinished(self) -> list[Request]:
        return [*self._queue, *(sequence.request for sequence in self._active)]

    def _step(self) -> None:
        self._drop_cancelled()
        self._admit_queued()
        if self._active:
            self._forward()

    def _drop_cancelled(self) -> None:
        for request in [request for request in self._queue if request.cancelled.is_set()]:
            self._queue.remove(request)
            finish_request(request, None)
        for sequence in [sequence for sequence in self._active if sequence.request.cancelled.is_set()]:
            self._end(sequence)

    def _admit_queued(self) -> None:
        while self._queue and len(self._active) < self._batch_size:
            request = self._queue[0]
            try:
                sequence = self._admit(request)
            except Exception as error:
                finish_request(request, error)
            else:
                if sequence is None:
                    return  # first come, first served: later requests don't overtake the one that waits for memory
                self._active.append(sequence)
            self._queue.popleft()

    def _admit(self, request: Request) -> ActiveSequence | None:
        """Allocate a cache for a request; None if there is no memory now.

        Raises:
            UsageError: a token id is not in the vocabulary, or the request needs more memory than there is in total.
        """
        self._served.check_prompt(request.prompt)
        config = self._served.generation_config(len(request.prompt), request.sampling)
        max_new_tokens = 0 if request.score is not None else int(config.max_new_tokens)
        capacity = self.prefix_cache.capacity
        available = capacity - len(request.prompt)
        if request.sampling.max_tokens is None and max(request.sampling.min_tokens, 1) <= available < max_new_tokens:
            max_new_tokens = available  # the limit is a default, not the request's
        if max_new_tokens > available:
            raise UsageError(
                f"{len(request.prompt)} prompt tokens and max_tokens of {max_new_tokens} exceed the cache memory of {capacity} tokens",
                code="MODEL-006",
                hint="Reduce max_tokens, or start the server with more --memory.",
            )
        cache = self.prefix_cache.allocate(request.model, request.prompt, len(request.prompt) + max_new_tokens, reuse=request.score is None)
        if cache is None:
            return None
        try:
            processors = self._served.logits_processors(
                config, len(request.prompt), extra_processors(request.sampling, len(request.prompt), self._grammars)
            )
            speculation = self._speculation(cache.capacity) if self._speculation else None
            return ActiveSequence(request, cache, self._served, processors, sample=bool(config.do_sample), speculation=speculation)
        except BaseException:
            self.prefix_cache.discard(cache)
            raise

    def _forward(self) -> None:
        """Run one forward pass for the sequences of the model whose turn it is.

        Raises:
            Exception: the pass failed, and the model can't compute anything any more.
        """
        model = self._active[0].request.model
        parts: list[tuple[ActiveSequence, list[int], list[int]]] = []
        budget = TOKENS_PER_STEP
        draft = sum(sequence.request.model == model for sequence in self._active) <= MAX_SPECULATING
        for sequence in [sequence for sequence in self._active if sequence.request.model == model]:
            if budget > 0 and (tokens := self._next_tokens(sequence, budget, draft=draft)):
                parts.append((sequence, *tokens))
                budget -= len(tokens[0]) + len(tokens[1])
        if not parts:
            return
        batch = [sequence for sequence, _, _ in parts]
        self._active = [*(sequence for sequence in self._active if sequence not in batch), *batch]  # the others come first next time
        rows = [len(pending) if sequence.request.score is not None else 1 + len(drafts) for sequence, pending, drafts in parts]
        try:
            with out_of_memory_as_error(), self._served.using_adapter(model), torch.inference_mode():
                inputs = [(sequence.cache, [*pending, *drafts]) for sequence, pending, drafts in parts]
                logits = forward(self._served.unwrapped, inputs, rows=rows).logits[0]
        except Exception as error:
            self.prefix_cache.evict()
            for sequence in batch:
                self._end(sequence, error)
            self._served.check_alive(error)
            return
        for (sequence, _, drafts), own in zip(parts, logits.split(rows), strict=True):
            self._advance(sequence, own, drafts)

    def _next_tokens(self, sequence: ActiveSequence, limit: int, *, draft: bool) -> tuple[list[int], list[int]] | None:
        """Return the tokens of a sequence in the next pass. An error, of the draft model, ends this sequence only."""
        try:
            with out_of_memory_as_error(), torch.inference_mode():
                return sequence.next_tokens(limit, draft=draft)
        except Exception as error:
            self._end(sequence, error)
            return None

    def _advance(self, sequence: ActiveSequence, logits: Tensor, drafts: list[int]) -> None:
        """Pass its logits to a sequence. An error ends this sequence only."""
        try:
            with out_of_memory_as_error(), torch.inference_mode():
                sequence.advance(logits, drafts)
        except Exception as error:
            self._end(sequence, error)
        else:
            if sequence.finished:
                self._end(sequence)

    def _end(self, sequence: ActiveSequence, error: BaseException | None = None) -> None:
        self._active.remove(sequence)
        if error is None and not sequence.request.cancelled.is_set():
            try:
                sequence.finish()
            except Exception as failure:
                error = failure
        if error is None:
            self.prefix_cache.release(sequence.request.model, sequence.tokens, sequence.cache)
        else:
            self.prefix_cache.discard(sequence.cache)
        finish_request(sequence.request, error)
