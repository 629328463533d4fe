"""The engine of swift-http's server: OpenVINO's pipeline and tokenizer as a `ChatEngine`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from openvino_genai import ContinuousBatchingPipeline, GenerationConfig, SchedulerConfig, Tokenizer
from swift_http import Piece, Sampling, Token

from swift_core.contract import UsageError
from swift_plugin_openvino.batching import Batcher, Request
from swift_plugin_openvino.chat_template import ChatTemplate
from swift_plugin_openvino.model import Model
from swift_plugin_openvino.options import OpenvinoOptions

GREEDY_BELOW = 1e-4  # temperatures below this are greedy decoding
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


class OpenvinoEngine:
    """A loaded model.

    Raises:
        UsageError: OpenVINO can't load the model on the device, or the chat template can't be read.
    """

    def __init__(self, model: Model, name: str, options: OpenvinoOptions) -> None:
        self.models = (name,)
        self.context = model.context
        pipeline = _load(model, options)
        self._defaults: GenerationConfig = pipeline.get_config()
        self._max_new_tokens = options.max_new_tokens
        self._tokenizer: Tokenizer = pipeline.get_tokenizer()
        self._ends = model.ends | self._defaults.stop_token_ids | {self._tokenizer.get_eos_token_id()}
        self._vocabulary = len(self._tokenizer.get_vocab())
        self._template = ChatTemplate(_template(self._tokenizer, options.chat_template), _special(self._tokenizer))
        self._batcher = Batcher(pipeline)

    @property
    def fault(self) -> BaseException | None:
        """The error that stopped OpenVINO's pipeline, or None."""
        return self._batcher.fault

    def close(self) -> None:
        """Stop the pipeline's thread."""
        self._batcher.close()

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Return the token ids of a conversation rendered with the chat template (see `ChatEngine.render`)."""
        return self.encode(self._template.render(messages, tools=tools, generation_prompt=generation_prompt), special=False)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the token ids of a text; `special` adds the special tokens."""
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=special).input_ids.data[0]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, including control tokens."""
        self._check(tokens)
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """Yield the response in pieces."""
        del model  # the server has one model
        self._check(prompt)
        config = self._config(len(prompt), sampling)
        async for piece in self._ask(prompt, config, special=sampling.keep_special_tokens, texts=sampling.logprobs is not None):
            yield piece

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Return the tokens of the prompt with their log-probabilities."""
        del model
        self._check(prompt)
        config = self._config(len(prompt), Sampling(max_tokens=1, temperature=0, logprobs=top))
        config.echo = True
        tokens = [token async for piece in self._ask(prompt, config, special=True, texts=True) for token in piece.tokens]
        return [Token(tokens[0].id, tokens[0].text), *tokens[1 : len(prompt)]]  # the first token has no log-probability

    async def _ask(self, prompt: Sequence[int], config: GenerationConfig, *, special: bool, texts: bool) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()

        def put(item: Piece | BaseException | None) -> None:
            with suppress(RuntimeError):  # the event loop was closed
                loop.call_soon_threadsafe(pieces.put_nowait, item)

        decode = partial(self._tokenizer.decode, skip_special_tokens=not special)
        request = Request(prompt=prompt, config=config, decode=decode, texts=texts, put=put)
        self._batcher.submit(request)
        try:
            while (item := await pieces.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            request.cancelled.set()

    def _config(self, length: int, sampling: Sampling) -> GenerationConfig:
        """Return the sampling parameters as OpenVINO's configuration.

        Raises:
            UsageError: a parameter that this engine does not support.
        """
        if sampling.logprobs:
            raise UsageError(
                "OpenVINO returns no alternatives to the chosen token", code="SERVE-008", hint="Set top_logprobs (or logprobs) to 0."
            )
        if sampling.schema is not None:  # OpenVINO supports schemas, but one that it can't parse stops its pipeline for good
            raise UsageError(
                "this backend does not support response_format",
                code="SERVE-009",
                hint="Request JSON in the prompt, or use another backend.",
            )
        defaults = self._defaults
        sampled = any(value is not None for value in (sampling.top_p, sampling.top_k, sampling.min_p))
        sample = (defaults.do_sample or sampled) if sampling.temperature is None else sampling.temperature >= GREEDY_BELOW
        config = GenerationConfig(
            max_new_tokens=min(sampling.max_tokens or self._max_new_tokens, self.context - length),
            eos_token_id=self._tokenizer.get_eos_token_id(),
            stop_token_ids=set(self._ends),
            logprobs=0 if sampling.logprobs is None else 1,
            repetition_penalty=_first(sampling.repetition_penalty, defaults.repetition_penalty),
            do_sample=sample,
        )
        if sample:
            config.temperature = _first(sampling.temperature, defaults.temperature)
            config.top_p = _first(sampling.top_p, defaults.top_p)
            config.min_p = _first(sampling.min_p, defaults.min_p)
            config.top_k = _first(sampling.top_k or None, defaults.top_k)
            config.rng_seed = secrets.randbits(32) if sampling.seed is None else sampling.seed % 2**32
        return config

    def _check(self, tokens: Sequence[int]) -> None:
        """Reject token ids outside the vocabulary, for which OpenVINO would read arbitrary memory.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        if wrong := [token for token in tokens if not 0 <= token < self._vocabulary]:
            raise UsageError(f"token id {wrong[0]} is outside the vocabulary (0 to {self._vocabulary - 1})", code="SERVE-010")


def _load(model: Model, options: OpenvinoOptions) -> ContinuousBatchingPipeline:
    scheduler = SchedulerConfig()
    scheduler.cache_size = options.cache_gib
    scheduler.max_num_seqs = options.batch
    scheduler.max_num_batched_tokens = options.step
    scheduler.enable_prefix_caching = options.prefix_caching
    dtype = {} if options.dtype == "auto" else {"INFERENCE_PRECISION_HINT": PRECISIONS[options.dtype]}
    properties = {**dtype, **(EXACT if options.exact else {}), **options.properties}
    try:
        return ContinuousBatchingPipeline(str(model.path), scheduler, options.device, properties)
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from"))
        raise UsageError(
            f"OpenVINO can't load the model on {options.device}: {reason[:500]}", code="SERVE-011", where=str(model.path)
        ) from error


def _template(tokenizer: Tokenizer, file: str) -> str:
    """Return the chat template from `file`, or the model's original one, which OpenVINO may have replaced by a simplified one."""
    if not file:
        return str(tokenizer.get_original_chat_template() or tokenizer.chat_template)
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the chat template can't be read: {error.strerror}", code="SERVE-012", where=file, hint="Check --chat-template."
        ) from error


def _special(tokenizer: Tokenizer) -> dict[str, str]:
    return {"bos_token": tokenizer.get_bos_token(), "eos_token": tokenizer.get_eos_token(), "pad_token": tokenizer.get_pad_token()}


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
