"""The base of every engine of the embedded server: a served model, its tokenizer, its worker thread and its adapters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_train.heads import described
from swift_train.media.placeholders import check_places
from swift_train.score_task import plain_text

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_plugin_transformers.generation import ServedModel
from swift_plugin_transformers.media_sources import MediaPrompt, MediaSources
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving_worker import ServingWorker
from swift_plugin_transformers.speech_prompts import speech_prompt
from swift_plugin_transformers.template_variables import check_template_variables


class ServedEngine:
    """A served model. Only the worker thread may use the model.

    Args:
        served: the model.
        names: served names: the base model, then its adapters; without the base if it has no head of its own.
        options: of the server.
    """

    worker: ServingWorker[Any]

    def __init__(self, served: ServedModel, names: Sequence[str], options: ServeOptions) -> None:
        self.context = served.context
        self._served, self._tokenizer = served, served.tokenizer
        self._model_names = list(names)
        self._lock = threading.Lock()  # the tokenizer is not thread-safe
        self._sources = MediaSources(served.media, Path(options.media_folder) if options.media_folder else None, options.media_domain)

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
        if self._served.speech:
            return self._transcript(messages, dict(variables or {}))
        if not self._tokenizer.chat_template and self._served.encoder_decoder and not tools:
            return self.encode(plain_text(messages))  # as it was trained
        if not self._tokenizer.chat_template:
            raise UsageError(
                "this model has no chat template",
                code="SERVE-040",
                hint="Use /v1/completions, or add a chat_template.jinja to the checkpoint.",
            )
        values = dict(variables or {})
        contents = [self._sources.read(part["type"], part[part["type"]]) for part in _media_parts(messages)]
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
            check_places(text, [content.kind for content in contents], self._served.media.placeholders)
            made = self._served.media.encode(text, contents)
            inputs = {name: value for name, value in made.items() if name not in ("input_ids", "attention_mask")}
            return MediaPrompt(made["input_ids"][0].tolist(), inputs if contents else {})

    def _transcript(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> list[int]:
        assert self._served.media is not None
        contents = [self._sources.read(part["type"], part[part["type"]]) for part in _media_parts(messages)]
        with self._lock:
            start = int(self._served.unwrapped.config.decoder_start_token_id)
            return speech_prompt(self._tokenizer, self._served.media, messages, contents, variables=variables, start=start)

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

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Load an adapter, between two steps of the worker.

        Raises:
            UsageError: the name is in use, the adapter has another head, or it was trained on another base model.
        """
        from swift_train.adapters import switching_tuner
        from swift_train.build import load_adapters

        if (head := Checkpoint.at(folder).head) != self._served.head:
            message = f"this adapter has {described(head)}, but the server has {described(self._served.head)}"
            raise UsageError(
                message, code="MODEL-048", where="lora_path", hint="Serve it with its base: swift serve MODEL --adapter FOLDER."
            )

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


def _media_parts(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from (part for part in message["content"] if part["type"] != "text")
