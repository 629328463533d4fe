"""The embedded server's engine: a ChatEngine over one model in this process, whose worker thread answers (see `batching`, `serial`)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swift_http import Piece, Sampling, Token
from swift_http.engine import OPTIONAL_FIELDS
from torch.nn.functional import normalize

from swift_core.contract.errors import UsageError
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.generation import Request, ServedModel
from swift_plugin_transformers.memory import cache_bytes
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.structured_output import Grammars
from swift_plugin_transformers.template_variables import check_template_variables
from swift_plugin_transformers.varlen import VarlenUnsupported, probe

log = logging.getLogger(__name__)


class EmbeddedEngine:
    """Answers over a loaded model, many at once where its attention allows that."""

    def __init__(self, answering: ServedModel, name: str, options: ServeOptions) -> None:
        self.context = answering.context
        self._name = name
        self._answering = answering
        self._served = [name, *answering.adapters]
        self._tokenizer = answering.tokenizer
        self._lock = threading.Lock()  # the tokenizer is not made for two threads
        self._grammars = Grammars(answering.tokenizer, answering.ends)
        self.worker = _worker(answering, self._grammars, options)

    supports = frozenset(OPTIONAL_FIELDS)

    @property
    def models(self) -> Sequence[str]:
        """The base, then its adapters."""
        return tuple(self._served)

    @property
    def fault(self) -> BaseException | None:
        """Why it answers no more."""
        return self.worker.fault

    def close(self) -> None:
        """Stop the worker."""
        self.worker.close()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Token ids by the checkpoint's chat template; arguments and errors are those of the protocol."""
        if not self._tokenizer.chat_template:
            raise UsageError("this model has no chat template", hint="Use /v1/completions, or give the checkpoint a chat_template.jinja.")
        given = dict(variables or {})
        with self._lock:
            check_template_variables(self._tokenizer, given)
            text = self._rendered(messages, tools, generation_prompt, given)
            if tools and text == self._rendered(messages, (), generation_prompt, given):
                raise UsageError(
                    "the model's chat template has no place for tools",
                    where="tools",
                    hint="Leave 'tools' out, or serve a model that takes them.",
                )
            return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=generation_prompt, **variables
                )
            )
        except Exception as error:  # templates refuse by raising whatever they like
            raise UsageError(f"the model's chat template refuses these messages: {error}", where="messages") from None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text."""
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=special))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids.

        Raises:
            UsageError: the tokenizer has not all of them.
        """
        size = len(self._tokenizer)
        if wrong := [token for token in tokens if not 0 <= token < size]:
            raise UsageError(f"there is no token {wrong[0]}: this model's are 0 to {size - 1}")
        return str(self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """The answer, piece by piece; the work is done in the worker's thread."""
        if sampling.schema is not None or sampling.forced_calls:
            await asyncio.to_thread(self._grammars.check, sampling)
        async for piece in self._ask(prompt, sampling, model, None):
            yield piece

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """The prompt's log-probabilities."""
        return [token async for piece in self._ask(prompt, Sampling(), model, top) for token in piece.tokens]

    async def embed(self, prompt: Sequence[int], *, model: str) -> list[float]:
        """The mean of the tokens' last hidden states, of length one."""

        def work() -> list[float]:
            self._answering.check(prompt)
            return list(normalize(self.worker.hidden(list(prompt), model).float().mean(0), dim=0).tolist())

        return await asyncio.wrap_future(self.worker.run(work))

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Serve one more adapter; requests under way wait for it.

        Raises:
            UsageError: the name is taken, or the adapter does not belong on this base.
        """
        from swift_train.adapters import switching_tuner
        from swift_train.build import load_adapters

        def work() -> None:
            if name in self._served:
                raise UsageError(f"'{name}' is served already", where="lora_name", hint="Take another name, or unload that one first.")
            number = 1 + max((int(inner.removeprefix("adapter")) for inner in self._answering.adapters.values()), default=-1)
            answering, allowed = self._answering, allow_other_base or self._answering.allow_other_base
            tuner = switching_tuner([folder], answering.tuner if answering.adapters else None)
            answering.model = load_adapters(answering.model, {f"adapter{number}": folder}, answering.base, allow_other_base=allowed)
            answering.tuner = tuner
            answering.adapters[name] = f"adapter{number}"
            self._served.append(name)

        await asyncio.wrap_future(self.worker.run(work))

    async def unload_adapter(self, name: str) -> None:
        """Serve an adapter no more.

        Raises:
            UsageError: there is none of that name, or requests for it are under way.
        """

        def work() -> None:
            if name not in self._answering.adapters:
                raise UsageError(f"no adapter '{name}' is served", where="lora_name")
            if self.worker.busy_with(name):
                raise UsageError(f"requests for '{name}' are being answered", where="lora_name", hint="Try again when they are done.")
            self.worker.forget(name)
            self._served.remove(name)
            self._answering.drop(name)

        await asyncio.wrap_future(self.worker.run(work))

    async def _ask(self, prompt: Sequence[int], sampling: Sampling, model: str, score: int | None) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()

        def put(item: Piece | BaseException | None) -> None:
            with suppress(RuntimeError):  # the server has stopped meanwhile
                loop.call_soon_threadsafe(pieces.put_nowait, item)

        request = Request(prompt=prompt, sampling=sampling, model=model, put=put, done=put, score=score)
        self.worker.submit(request)
        try:
            while (item := await pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            request.cancelled.set()


def _worker(answering: ServedModel, grammars: Grammars, options: ServeOptions) -> Batcher | SequentialWorker:
    try:
        if not answering.in_layers:
            raise VarlenUnsupported("one of its adapters is not in its layers")
        with answering.speaking_as(answering.name):
            per_token = probe(answering.bare)
    except VarlenUnsupported as why:
        log.warning("requests are answered one by one, as the model's attention can't be batched: %s", why)
        return SequentialWorker(answering, grammars)
    tokens = int(cache_bytes(options.memory, answering.device) / per_token)
    if tokens < 2:
        raise UsageError(f"{options.memory} of memory holds {tokens} tokens of this model", where="memory", hint="Give it more.")
    return Batcher(answering, grammars, tokens=tokens, rows=options.batch)
