"""Engine of the embedded server: a ChatEngine over one model, computed by a worker thread (see `batching` and `sequential`)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swift_http import Piece, Sampling, Token
from swift_http.engine import OPTIONAL_FIELDS
from swift_train.media.placeholders import check_places
from torch.nn.functional import normalize

from swift_core.contract import UsageError
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.generation import Request, ServedModel
from swift_plugin_transformers.memory import cache_bytes
from swift_plugin_transformers.pictures import MediaPrompt, PictureSources
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.structured_output import Grammars
from swift_plugin_transformers.template_variables import check_template_variables
from swift_plugin_transformers.varlen import VarlenUnsupported, probe

log = logging.getLogger(__name__)


class EmbeddedEngine:
    """Serves a loaded model with continuous batching, or one request at a time if `varlen` does not support its attention."""

    def __init__(self, served: ServedModel, name: str, options: ServeOptions) -> None:
        self.context = served.context
        self._name = name
        self._served = served
        self._model_names = [name, *served.adapters]
        self._tokenizer = served.tokenizer
        self._lock = threading.Lock()  # the tokenizer is not thread-safe
        self._pictures = PictureSources(Path(options.media_folder) if options.media_folder else None, options.media_domain)
        self._grammars = Grammars(served.tokenizer, served.eos_token_ids)
        self.worker = _worker(served, self._grammars, options)

    supports = frozenset(OPTIONAL_FIELDS)

    @property
    def media_kinds(self) -> Sequence[str]:
        """Kinds of media that the model's processor takes."""
        return tuple(self._served.media.placeholders) if self._served.media else ()

    @property
    def models(self) -> Sequence[str]:
        """Served names: the base model, then its adapters."""
        return tuple(self._model_names)

    @property
    def fault(self) -> BaseException | None:
        """The error that ended the worker thread, if any."""
        return self.worker.fault

    def close(self) -> None:
        """Stop the worker thread."""
        self.worker.close()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Return the token ids of a conversation; arguments and errors as in `ChatEngine.render`."""
        if not self._tokenizer.chat_template:
            raise UsageError(
                "this model has no chat template",
                code="SERVE-040",
                hint="Use /v1/completions, or add a chat_template.jinja to the checkpoint.",
            )
        values = dict(variables or {})
        pictures = [self._pictures.read(part["image"]) for part in _media_parts(messages)]
        with self._lock:
            check_template_variables(self._tokenizer, values)
            text = self._rendered(messages, tools, generation_prompt, values)
            if tools and text == self._rendered(messages, (), generation_prompt, values):
                raise UsageError(
                    "the model's chat template does not support tools",
                    code="SERVE-006",
                    where="tools",
                    hint="Remove 'tools', or serve a model that supports them.",
                )
            if self._served.media is None:
                return list(self._tokenizer.encode(text, add_special_tokens=False))
            check_places(text, ["image"] * len(pictures), self._served.media.placeholders)
            made = self._served.media.encode(text, pictures)
            inputs = {name: value for name, value in made.items() if name not in ("input_ids", "attention_mask")}
            return MediaPrompt(made["input_ids"][0].tolist(), inputs if pictures else {})

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
        except Exception as error:  # templates may raise any exception
            raise UsageError(f"the model's chat template rejects these messages: {error}", code="SERVE-007", where="messages") from None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the token ids of a text."""
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=special))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids.

        Raises:
            UsageError: a token id is not in the vocabulary.
        """
        size = len(self._tokenizer)
        if wrong := [token for token in tokens if not 0 <= token < size]:
            raise UsageError(f"token id {wrong[0]} is not in the vocabulary (0 to {size - 1})", code="SERVE-041")
        return str(self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

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

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Load an adapter, between two steps of the worker.

        Raises:
            UsageError: the name is in use, or the adapter was trained on another base model.
        """
        from swift_train.adapters import switching_tuner
        from swift_train.build import load_adapters

        def work() -> None:
            if name in self._model_names:
                raise UsageError(
                    f"'{name}' is already served",
                    code="SERVE-042",
                    where="lora_name",
                    hint="Choose another name, or unload that one first.",
                )
            number = 1 + max((int(inner.removeprefix("adapter")) for inner in self._served.adapters.values()), default=-1)
            served, allowed = self._served, allow_other_base or self._served.allow_other_base
            tuner = switching_tuner([folder], served.tuner if served.adapters else None)
            served.model = load_adapters(served.model, {f"adapter{number}": folder}, served.base, allow_other_base=allowed)
            served.tuner = tuner
            served.adapters[name] = f"adapter{number}"
            self._model_names.append(name)

        await asyncio.wrap_future(self.worker.run(work))

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter.

        Raises:
            UsageError: no adapter has that name, or it has active requests.
        """

        def work() -> None:
            if name not in self._served.adapters:
                raise UsageError(f"there is no adapter '{name}'", code="SERVE-043", where="lora_name")
            if self.worker.is_using(name):
                raise UsageError(
                    f"the adapter '{name}' has active requests", code="SERVE-044", where="lora_name", hint="Try again when they are done."
                )
            self.worker.evict(name)
            self._model_names.remove(name)
            self._served.drop_adapter(name)

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


def _media_parts(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from (part for part in message["content"] if part["type"] != "text")


def _worker(served: ServedModel, grammars: Grammars, options: ServeOptions) -> Batcher | SequentialWorker:
    try:
        if served.media:
            raise VarlenUnsupported("requests may have pictures")
        if not served.adapters_in_layers:
            raise VarlenUnsupported("an adapter is not inside its layers")
        with served.using_adapter(served.name):
            per_token = probe(served.unwrapped)
    except VarlenUnsupported as reason:
        log.warning("continuous batching is off, requests run one at a time: %s", reason)
        return SequentialWorker(served, grammars)
    tokens = int(cache_bytes(options.memory, served.device) / per_token)
    if tokens < 2:
        raise UsageError(
            f"{options.memory} of memory holds only {tokens} tokens of this model",
            code="SERVE-045",
            where="memory",
            hint="Increase --memory.",
        )
    return Batcher(served, grammars, cache_tokens=tokens, batch_size=options.batch)
