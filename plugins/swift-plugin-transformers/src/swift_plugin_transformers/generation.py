"""Generation with transformers' `generate`: one prompt at a time, token by token, cancellable, with log-probabilities where asked for."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from swift_http import Piece, Sampling, Token
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Loaded

Put = Callable[[Piece], None]

_COLD = 1e-4  # temperatures below choose the likeliest token


class Generator:
    """A loaded model that answers in the calling thread. Not for two threads at once.

    Args:
        loaded: model and tokenizer (or a processor that holds one).
        adapters: the model's PEFT adapters by the name they are served under.
        ends: ids of the tokens that end an answer.
        longest: tokens of an answer where the request sets no limit.
    """

    def __init__(self, loaded: Loaded, *, adapters: Mapping[str, str], ends: Sequence[int], longest: int) -> None:
        self.model: Any = loaded.model.eval()
        self.tokenizer: Any = getattr(loaded.processor, "tokenizer", loaded.processor)
        self.context = context_of(self.model, self.tokenizer)
        self._adapters = dict(adapters)
        self._ends = frozenset(ends)
        self._longest = longest

    def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str, put: Put, cancelled: threading.Event) -> None:
        """Pass the answer to `put` piece by piece until it ends or `cancelled` is set. A seed gives the same answer again.

        Raises:
            UsageError: a prompt with ids that the model does not have.
            SwiftError: the device has not enough memory.
        """
        ids = self._tensor(prompt)
        recorder = _Recorder(sampling.logprobs, self.tokenizer)
        sink = _Sink(self.tokenizer, self._ends, recorder, put)
        if sampling.seed is None:
            torch.seed()
        else:
            torch.manual_seed(sampling.seed)
        with _memory_in_words(), self._as(model):
            self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=self._config(len(prompt), sampling),
                streamer=sink,
                stopping_criteria=StoppingCriteriaList([_Cancel(cancelled)]),
                logits_processor=LogitsProcessorList([recorder] if sampling.logprobs is not None else []),
            )
        sink.finish()

    def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """The prompt's tokens, each with its log-probability after those before it and the `top` likeliest in its place."""
        ids = self._tensor(prompt)
        with _memory_in_words(), self._as(model), torch.inference_mode():
            logprobs = (
                self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1].float().log_softmax(-1)
            )
        first = Token(prompt[0], self.tokenizer.decode([prompt[0]]))
        return [first, *(token_of(self.tokenizer, token, row, top) for token, row in zip(prompt[1:], logprobs, strict=True))]

    def _tensor(self, prompt: Sequence[int]) -> Tensor:
        size = self.model.get_input_embeddings().weight.shape[0]
        if wrong := [token for token in prompt if not 0 <= token < size]:
            raise UsageError(f"the prompt has the token {wrong[0]}, and this model's are 0 to {size - 1}")
        return torch.tensor([list(prompt)], device=self.model.device)

    @contextmanager
    def _as(self, model: str) -> Iterator[None]:
        """The base or one of its adapters, by the name it is served under."""
        if not self._adapters:
            yield
        elif model in self._adapters:
            self.model.set_adapter(self._adapters[model])
            yield
        else:
            with self.model.disable_adapter():
                yield

    def _config(self, length: int, sampling: Sampling) -> GenerationConfig:
        """The model's own generation config with the request's wishes in it.

        Without a temperature the model's own way counts, which is the likeliest token where its config does not say `do_sample`.
        """
        config: GenerationConfig = copy.deepcopy(self.model.generation_config)
        narrowed = any(value is not None for value in (sampling.top_p, sampling.top_k, sampling.min_p))
        sample = bool(config.do_sample) or narrowed if sampling.temperature is None else sampling.temperature >= _COLD
        config.update(  # type: ignore[no-untyped-call]
            max_new_tokens=min(sampling.max_tokens or self._longest, self.context - length),
            max_length=None,
            num_beams=1,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=config.pad_token_id if config.pad_token_id is not None else min(self._ends, default=0),
            do_sample=sample,
            temperature=_first(sampling.temperature, config.temperature, 1.0) if sample else None,
            top_p=_first(sampling.top_p, config.top_p, 1.0) if sample else None,
            top_k=_first(sampling.top_k, config.top_k, 0) if sample else None,
            min_p=_first(sampling.min_p, config.min_p) if sample else None,
            repetition_penalty=_first(sampling.repetition_penalty, config.repetition_penalty),
        )
        return config


class Detokenizer:
    """Token ids → text as it grows. A character that is spread over several tokens comes when it is whole."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # of the tokens that are decoded together, so that spaces between them come out right
        self._shown = 0  # tokens whose text was given

    def push(self, token: int) -> str:
        """The text that is certain now."""
        self._ids.append(token)
        text = self._new()
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return text

    def flush(self) -> str:
        """What is left at the end, a broken character too."""
        text = self._new()
        self._shown = len(self._ids)
        return text

    def _new(self) -> str:
        return self._decode(self._ids[self._start :])[len(self._decode(self._ids[self._start : self._shown])) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class _Sink(BaseStreamer):
    """What `generate` gives its tokens to; the first call brings the prompt."""

    def __init__(self, tokenizer: Any, ends: frozenset[int], recorder: _Recorder, put: Put) -> None:
        self._text = Detokenizer(tokenizer)
        self._tokenizer = tokenizer
        self._ends = ends
        self._recorder = recorder
        self._put = put
        self._prompt_seen = False
        self._last: int | None = None

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._last = int(value.reshape(-1)[0])
        text = "" if self._last in self._ends else self._text.push(self._last)
        self._put(Piece(text, (self._recorder.token(self._last),)))

    def end(self) -> None:
        """Nothing: the last piece is made by `finish`, after an error of `generate` would have shown."""

    def finish(self) -> None:
        """The last piece: the rest of the text, and why it ended."""
        self._put(Piece(self._text.flush(), (), "stop" if self._last in self._ends else "length"))


class _Recorder(LogitsProcessor):
    """Sees the logits of each step, as the model gave them, and keeps what log-probabilities need."""

    def __init__(self, top: int | None, tokenizer: Any) -> None:
        self._top = top
        self._tokenizer = tokenizer
        self._rows: deque[Tensor] = deque()  # some devices stream a step late

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._rows.append(scores[0].float().log_softmax(-1))
        return scores

    def token(self, token: int) -> Token:
        if self._top is None:
            return Token(token, "")
        return token_of(self._tokenizer, token, self._rows.popleft(), self._top)


class _Cancel(StoppingCriteria):
    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self._cancelled.is_set(), device=input_ids.device)


def token_of(tokenizer: Any, token: int, logprobs: Tensor, top: int) -> Token:
    """A token with its log-probability and the `top` likeliest, from the log-probabilities of its position, shape (vocabulary,)."""
    best = logprobs.topk(top) if top else None
    likeliest = (
        tuple((tokenizer.decode([other]), value) for value, other in zip(best[0].tolist(), best[1].tolist(), strict=True)) if best else ()
    )
    return Token(token, tokenizer.decode([token]), float(logprobs[token]), likeliest)


def context_of(model: Any, tokenizer: Any) -> int:
    """Most tokens that the model takes: its positions, else what its tokenizer says, else a million."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(positions or min(tokenizer.model_max_length, 1_000_000))


def end_tokens(model: Any, tokenizer: Any, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Ids that end an answer: those of the generation config, the tokenizer's, `names`, and what the chat template puts after an answer."""
    own = model.generation_config.eos_token_id
    known = tokenizer.get_vocab()
    found = {
        *(own if isinstance(own, list) else [own]),
        tokenizer.eos_token_id,
        end_of_turn(tokenizer),
        *(known.get(name) for name in names),
    }
    return tuple(sorted(token for token in found if token is not None))


def end_of_turn(tokenizer: Any) -> int | None:
    """The control token that the chat template writes right after an assistant's words, if it writes one."""
    if not tokenizer.chat_template:
        return None
    mark = "MARK"
    try:
        text = tokenizer.apply_chat_template([{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}], tokenize=False)
    except Exception:  # a template may refuse anything, in any way
        return None
    ids = tokenizer.encode(text.rpartition(mark)[2], add_special_tokens=False)
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def _memory_in_words() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SwiftError(
            "the device has not enough memory for this request", hint="Send a shorter prompt, or serve with a smaller dtype."
        ) from error
