"""Worker thread of models with a head: the texts of all waiting requests for one model share padded batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from swift_http.worker import finish_request
from swift_train.head_inputs import ServedHead
from swift_train.head_outputs import HeadOutputs
from swift_train.pair_texts import Pair
from swift_train.row_groups import CPU_TOKENS
from torch import Tensor

from swift_plugin_transformers.generation import ServedModel, out_of_memory_as_error
from swift_plugin_transformers.serving_worker import ServingWorker

_TOKENS = 16_384  # of a batch, padding included, on an accelerator


@dataclass(eq=False, slots=True, kw_only=True)
class TextRequest:
    """Texts for the worker thread.

    Attributes:
        inputs: the tokens of each text.
        model: served name.
        head: which numbers to compute.
        done: called once at the end, with an error or None.
        found: the numbers of each text, (numbers,), once computed.
        cancelled: set to stop the request.
    """

    inputs: Sequence[Pair]
    model: str
    head: ServedHead
    done: Callable[[BaseException | None], None]
    found: dict[int, Tensor] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def waiting(self) -> list[int]:
        """The texts that are not computed, the longest first, so that texts of a batch have similar lengths."""
        return sorted(
            (place for place in range(len(self.inputs)) if place not in self.found), key=lambda place: -len(self.inputs[place].ids)
        )


class HeadWorker(ServingWorker[TextRequest]):
    """Computes batches of at most `batch_size` texts, in the order of the requests."""

    def __init__(self, served: ServedModel, batch_size: int) -> None:
        super().__init__("numbers")
        self._served, self._batch_size = served, batch_size
        self._max_tokens = CPU_TOKENS if served.device.type == "cpu" else _TOKENS
        self._queue: deque[TextRequest] = deque()
        self.start()

    def is_using(self, model: str) -> bool:
        """Return whether there are requests for that model. Call it in the worker thread."""
        return any(request.model == model for request in self._queue)

    # -- in the worker thread --------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return bool(self._queue)

    def _take(self, request: TextRequest) -> None:
        self._queue.append(request)

    def _unfinished(self) -> list[TextRequest]:
        return list(self._queue)

    def _step(self) -> None:
        for request in [request for request in self._queue if request.cancelled.is_set()]:
            self._end(request)
        batch = self._next_batch()
        if not batch:
            return
        requests = list(dict.fromkeys(request for request, _ in batch))
        try:
            with out_of_memory_as_error(), self._served.using_adapter(requests[0].model):
                compute = HeadOutputs(self._served.model, self._served.tokenizer.pad_token_id)
                numbers = compute([request.inputs[place] for request, place in batch], requests[0].head).cpu()
        except Exception as error:
            for request in requests:
                self._end(request, error)
            self._served.check_alive(error)
            return
        for (request, place), row in zip(batch, numbers, strict=True):
            request.found[place] = row
        for request in requests:
            if len(request.found) == len(request.inputs):
                self._end(request)

    def _next_batch(self) -> list[tuple[TextRequest, int]]:
        """Return the texts of the next pass: of the first request, and of others for the same model that fit."""
        batch: list[tuple[TextRequest, int]] = []
        longest = 0
        for request in self._queue:
            if request.model != self._queue[0].model:
                continue
            for place in request.waiting:
                longest = max(longest, len(request.inputs[place].ids))
                if batch and (len(batch) == self._batch_size or longest * (len(batch) + 1) > self._max_tokens):
                    return batch
                batch.append((request, place))
        return batch

    def _end(self, request: TextRequest, error: BaseException | None = None) -> None:
        self._queue.remove(request)
        finish_request(request, error)
