"""A loaded model as requests need it: its adapters by name, each request's wishes as a generation config, logits processors of it."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from swift_http import Piece, Sampling
from swift_train.adapters import inner_model
from swift_train.processors import tokenizer_of
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Loaded, SwitchingTuner
from swift_core.contract.run import Source
from swift_plugin_transformers.detokenizer import context_of

log = logging.getLogger(__name__)

_CPU_SHORTAGE = "DefaultCPUAllocator"  # torch has no type of error for it
GREEDY_BELOW = 1e-4  # temperatures below choose the likeliest token


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """One prompt on its way through the worker's thread, which calls `put` with each piece and `done` once, with an error or None.

    `score` asks for the prompt's own log-probabilities with that many alternatives each, and for no answer.
    """

    prompt: Sequence[int]
    sampling: Sampling
    model: str
    put: Callable[[Piece], None]
    done: Callable[[BaseException | None], None]
    score: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


class ServedModel:
    """A loaded model, its tokenizer and its adapters. Only the worker's thread may use the model.

    Args:
        loaded: model and tokenizer (or a processor that holds one).
        name: the base's, as it is served.
        base: what it was loaded from.
        tuner: switches between the adapters, if there are any.
        adapters: the names of the model's adapters by the name they are served under.
        ends: ids of the tokens that end an answer.
        longest: tokens of an answer where the request sets no limit.
        allow_other_base: whether more adapters may be of another base.
    """

    def __init__(
        self,
        loaded: Loaded,
        base: Source,
        tuner: SwitchingTuner | None = None,
        *,
        name: str,
        adapters: Mapping[str, str],
        ends: Sequence[int],
        longest: int,
        allow_other_base: bool = False,
    ) -> None:
        self.base = base
        self.tuner = tuner
        self.allow_other_base = allow_other_base
        self.model: Any = loaded.model.eval()
        self.tokenizer: Any = tokenizer_of(loaded.processor)
        self.context = context_of(self.bare, self.tokenizer)
        self.name = name
        self.adapters = dict(adapters)
        self.ends = frozenset(ends)
        self.longest = longest

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.bare.device  # type: ignore[no-any-return]

    @property
    def bare(self) -> Any:
        """The model itself, without what a tuner has wrapped it in."""
        return inner_model(self.model)

    @property
    def in_layers(self) -> bool:
        """Whether all that answers is in the layers of `bare`."""
        return not self.adapters or self.tuner is None or self.tuner.in_layers(self.model)

    @contextmanager
    def speaking_as(self, name: str) -> Iterator[None]:
        """The base or one of its adapters, by the name it is served under.

        Raises:
            UsageError: the adapter was taken away meanwhile.
        """
        if name != self.name and name not in self.adapters:
            raise UsageError(f"the adapter '{name}' is served no more", where="model")
        if not self.adapters or self.tuner is None:
            yield
            return
        with self.tuner.speaking_as(self.model, self.adapters.get(name, "")):
            yield

    def check_alive(self, error: Exception) -> None:
        """See, after an error that nobody foresaw, that the model still computes.

        Raises:
            Exception: that error; it does not.
        """
        if isinstance(error, SwiftError):
            return
        log.error("a request has failed", exc_info=error)
        try:
            with torch.inference_mode():
                self.bare(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.device), use_cache=False)
        except Exception:
            raise error from None

    def drop(self, name: str) -> None:
        """Take an adapter out of the model."""
        if self.tuner:
            self.model = self.tuner.drop(self.model, self.adapters.pop(name))

    def check(self, prompt: Sequence[int]) -> None:
        """Refuse a prompt with ids that the model does not have.

        Raises:
            UsageError: it has one.
        """
        size = self.bare.get_input_embeddings().weight.shape[0]
        if wrong := [token for token in prompt if not 0 <= token < size]:
            raise UsageError(f"the prompt has the token {wrong[0]}, and this model's are 0 to {size - 1}")

    def ends_of(self, sampling: Sampling) -> frozenset[int]:
        """Ids of the tokens that end the answer to a request."""
        return frozenset(sampling.stop_token_ids) | (frozenset() if sampling.ignore_eos else self.ends)

    def _check_ids(self, tokens: Sequence[int], field: str) -> None:
        size = self.bare.get_input_embeddings().weight.shape[0]
        if wrong := [token for token in tokens if not 0 <= token < size]:
            raise UsageError(f"there is no token {wrong[0]}: this model's are 0 to {size - 1}", where=field)

    def config(self, length: int, sampling: Sampling) -> GenerationConfig:
        """The model's own generation config with the request's wishes in it.

        Without a temperature the model's own way counts, which is the likeliest token where its config does not say `do_sample`.

        Raises:
            UsageError: a token that the model does not have.
        """
        self._check_ids(sampling.stop_token_ids, "stop_token_ids")
        self._check_ids([token for token, _ in sampling.logit_bias], "logit_bias")
        ends = sorted(self.ends_of(sampling))
        config: GenerationConfig = copy.deepcopy(self.bare.generation_config)
        narrowed = any(value is not None for value in (sampling.top_p, sampling.top_k, sampling.min_p))
        sample = bool(config.do_sample) or narrowed if sampling.temperature is None else sampling.temperature >= GREEDY_BELOW
        config.update(  # type: ignore[no-untyped-call]
            max_new_tokens=min(sampling.max_tokens or max(self.longest, sampling.min_tokens), self.context - length),
            max_length=None,
            num_beams=1,
            eos_token_id=ends or [-1],  # a token that never comes: None would bring back the model's own
            pad_token_id=config.pad_token_id if config.pad_token_id is not None else min(self.ends, default=0),
            do_sample=sample,
            temperature=_first(sampling.temperature, config.temperature, 1.0) if sample else None,
            top_p=_first(sampling.top_p, config.top_p, 1.0) if sample else None,
            top_k=_first(sampling.top_k, config.top_k, 0) if sample else None,
            min_p=_first(sampling.min_p, config.min_p) if sample else None,
            min_new_tokens=sampling.min_tokens or None,
            sequence_bias=[[[token], float(bias)] for token, bias in sampling.logit_bias] or None,
            repetition_penalty=_first(sampling.repetition_penalty, config.repetition_penalty),
        )
        return config

    def processors(self, config: GenerationConfig, length: int, own: Sequence[LogitsProcessor]) -> LogitsProcessorList:
        """transformers' logits processors for a prompt of that length, and `own` ones before the narrowing ones."""
        device = self.device
        config = copy.deepcopy(config)
        self.bare._prepare_special_tokens(config, True, device=device)
        made: LogitsProcessorList = self.bare._get_logits_processor(
            generation_config=config,
            input_ids_seq_length=length,
            prefix_allowed_tokens_fn=None,
            logits_processor=LogitsProcessorList(own),
            device=device,
            model_kwargs={},
        )
        return made


def plain(config: GenerationConfig) -> GenerationConfig:
    """The config without what `ServedModel.processors` has made processors of, for a `generate` that is given these."""
    config = copy.deepcopy(config)
    sampled = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0} if config.do_sample else {}
    config.update(repetition_penalty=1.0, sequence_bias=None, min_new_tokens=None, **sampled)  # type: ignore[no-untyped-call]
    return config


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def out_of_memory_as_error() -> Iterator[None]:
    """The device's lack of memory as an error for users."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _CPU_SHORTAGE not in str(error):
            raise
        raise SwiftError(
            "the device has not enough memory for this request", hint="Send a shorter prompt, or serve with a smaller dtype."
        ) from error
