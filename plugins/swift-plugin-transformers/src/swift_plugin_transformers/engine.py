"""Engine of the embedded server: a ChatEngine over one model, computed by a worker thread (see `batching` and `sequential`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from swift_http import Piece, Sampling, Token
from swift_http.engine import OPTIONAL_FIELDS
from torch.nn.functional import normalize

from swift_core.contract import UsageError
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.generation import Request, ServedModel
from swift_plugin_transformers.media_sources import MediaPrompt
from swift_plugin_transformers.memory import cache_bytes
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.served_engine import ServedEngine
from swift_plugin_transformers.speculation_options import speculation_of
from swift_plugin_transformers.structured_output import Grammars
from swift_plugin_transformers.varlen import VarlenUnsupported, probe

log = logging.getLogger(__name__)


class EmbeddedEngine(ServedEngine):
    """Serves a loaded model with continuous batching, or one request at a time if `varlen` does not support its attention."""

    supports = frozenset(OPTIONAL_FIELDS)
    worker: Batcher | SequentialWorker

    def __init__(self, served: ServedModel, name: str, options: ServeOptions) -> None:
        super().__init__(served, [name, *served.adapters], options)
        self._grammars = Grammars(served.tokenizer, served.eos_token_ids)
        self.worker = _worker(served, self._grammars, options)

    @property
    def media_kinds(self) -> Sequence[str]:
        """Kinds of media that the model's processor takes."""
        return tuple(self._served.media.placeholders) if self._served.media else ()

    @property
    def transcribes(self) -> bool:
        """Whether the model turns speech into text, and does nothing else."""
        return self._served.speech

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """Generate a completion piece by piece, in the worker thread."""
        if sampling.schema is not None or sampling.forced_calls:
            await asyncio.to_thread(self._grammars.check, sampling)
        async for piece in self._submit(prompt, sampling, model, None):
            yield piece

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Return the prompt's tokens with their log-probabilities."""
        return [token async for piece in self._submit(prompt, Sampling(), model, top) for token in piece.tokens]

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        """Return the mean of the last hidden states, normalized to unit length."""

        def work() -> list[float]:
            self._served.check_prompt(prompt)
            return list(normalize(self.worker.hidden_states(list(prompt), model).float().mean(0), dim=0).tolist())

        return await asyncio.wrap_future(self.worker.run(work))

    async def update_weights(self, folder: Path) -> None:
        """Replace the weights of the base model, between two steps of the worker, and drop the cached prefixes.

        Raises:
            UsageError: the checkpoint does not fit, there are adapters on these weights, or requests are active.
        """

        def work() -> None:
            if self.worker.is_using(self._served.name):
                raise UsageError(
                    "the model has active requests", code="SERVE-099", where="model_path", hint="Try again when they are done."
                )
            self._served.replace_weights(folder)
            self.worker.evict(self._served.name)

        await asyncio.wrap_future(self.worker.run(work))

    async def _submit(self, prompt: Sequence[int], sampling: Sampling, model: str, score: int | None) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()

        def put(item: Piece | BaseException | None) -> None:
            with suppress(RuntimeError):  # the event loop is closed: the server has stopped
                loop.call_soon_threadsafe(pieces.put_nowait, item)

        inputs = prompt.inputs if isinstance(prompt, MediaPrompt) else {}
        request = Request(inputs=inputs, prompt=prompt, sampling=sampling, model=model, put=put, done=put, score=score)
        self.worker.submit(request)
        try:
            while (item := await pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            request.cancelled.set()


def _worker(served: ServedModel, grammars: Grammars, options: ServeOptions) -> Batcher | SequentialWorker:
    try:
        if served.encoder_decoder:
            raise VarlenUnsupported("the model is an encoder-decoder")
        if served.media:
            raise VarlenUnsupported("requests may have images")
        if not served.adapters_in_layers:
            raise VarlenUnsupported("an adapter is not inside its layers")
        with served.using_adapter(served.name):
            per_token = probe(served.unwrapped)
    except VarlenUnsupported as reason:
        log.warning("continuous batching is off, requests run one at a time: %s", reason)
        if options.speculative_tokens:
            log.warning("speculative decoding is off, since it requires continuous batching")
        return SequentialWorker(served, grammars)
    tokens = int(cache_bytes(options.memory, served.device) / per_token)
    if tokens < 2:
        raise UsageError(
            f"{options.memory} of memory holds only {tokens} tokens of this model",
            code="SERVE-045",
            where="memory",
            hint="Increase --memory.",
        )
    speculation = speculation_of(served, options)
    return Batcher(served, grammars, cache_tokens=tokens, batch_size=options.batch, speculation=speculation)
