"""A loaded model as the workers use it: adapters by name, and generation config and logits processors of each request."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from swift_http import Piece, Sampling
from swift_train.adapters import inner_model
from swift_train.build import load_checkpoint
from swift_train.encoder_decoder import is_encoder_decoder
from swift_train.media.speech import media_of
from swift_train.processors import tokenizer_of
from swift_train.roles import Loaded, SwitchingTuner
from swift_train.speech import hears
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from swift_core.contract import Source, SwiftError, UsageError
from swift_plugin_transformers.detokenizer import context_length

log = logging.getLogger(__name__)

_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"  # in the message: torch has no exception type for it
GREEDY_BELOW = 1e-4  # temperatures below this are greedy decoding


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """A prompt for the worker thread.

    Attributes:
        prompt: token ids.
        inputs: further arguments of the model, for a prompt with images.
        sampling: sampling parameters.
        model: name of the base model or of an adapter.
        put: called with each piece.
        done: called once at the end, with an error or None.
        score: compute log-probabilities of the prompt's tokens with that many alternatives each, and no completion; None: generate.
        cancelled: set to stop the request.
    """

    prompt: Sequence[int]
    sampling: Sampling
    model: str
    put: Callable[[Piece], None]
    done: Callable[[BaseException | None], None]
    score: int | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)


class ServedModel:
    """A loaded model, its tokenizer and its adapters. Only the worker thread may use the model.

    Args:
        loaded: model and tokenizer (or a processor that contains one).
        base: the checkpoint it was loaded from.
        tuner: switches between the adapters, if there are any.
        name: served name of the base model.
        adapters: name of the adapter in the model, by its served name.
        eos_token_ids: ids of the tokens that end a completion.
        max_new_tokens: default limit of a completion, in tokens.
        allow_other_base: accept adapters that were trained on another base model.
        processed_logprobs: return log-probabilities after the logits processors, instead of the model's own.
        head: output layer of the model, as in `TaskSpec.head`.
    """

    def __init__(
        self,
        loaded: Loaded,
        base: Source,
        tuner: SwitchingTuner | None = None,
        *,
        name: str,
        adapters: Mapping[str, str],
        eos_token_ids: Sequence[int],
        max_new_tokens: int,
        allow_other_base: bool = False,
        processed_logprobs: bool = False,
        head: str = "",
    ) -> None:
        self.base = base
        self.head = head
        self.processed_logprobs = processed_logprobs
        self.tuner = tuner
        self.allow_other_base = allow_other_base
        self.model: Any = loaded.model.eval()
        self.tokenizer: Any = tokenizer_of(loaded.processor)
        self.media = media_of(Loaded(self.unwrapped, loaded.processor))
        self.encoder_decoder, self.speech = is_encoder_decoder(self.unwrapped), hears(self.unwrapped)
        self.context = context_length(self.unwrapped, self.tokenizer)
        self.name = name
        self.adapters = dict(adapters)
        self.eos_token_ids = frozenset(eos_token_ids)
        self.max_new_tokens = max_new_tokens

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.unwrapped.device  # type: ignore[no-any-return]

    @property
    def unwrapped(self) -> Any:
        """The model itself, without a tuner's wrapper."""
        return inner_model(self.model)

    @property
    def adapters_in_layers(self) -> bool:
        """True if all adapters are inside the layers of `unwrapped`, so that a call of it applies them."""
        return not self.adapters or self.tuner is None or self.tuner.in_layers(self.model)

    @contextmanager
    def using_adapter(self, name: str) -> Iterator[None]:
        """Activate the base model or an adapter, by its served name.

        Raises:
            UsageError: the adapter was unloaded in the meantime.
        """
        if name != self.name and name not in self.adapters:
            raise UsageError(f"the adapter '{name}' was unloaded", code="MODEL-009", where="model")
        if not self.adapters or self.tuner is None:
            yield
            return
        with self.tuner.speaking_as(self.model, self.adapters.get(name, "")):
            yield

    def check_alive(self, error: Exception) -> None:
        """Check after an unexpected error that the model can still compute.

        Raises:
            Exception: `error`, if it can't.
        """
        if isinstance(error, SwiftError):
            return
        log.error("request failed", exc_info=error)
        try:
            with torch.inference_mode():
                self.unwrapped(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.device), use_cache=False)
        except Exception:
            raise error from None

    def drop_adapter(self, name: str) -> None:
        """Remove an adapter from the model."""
        if self.tuner:
            self.model = self.tuner.drop(self.model, self.adapters.pop(name))

    @torch.inference_mode()
    def replace_weights(self, folder: Path) -> None:
        """Copy the weights of a checkpoint into the model.

        Raises:
            UsageError: its tensors have other names, shapes or types, or adapters are loaded on the current weights.
        """
        if self.adapters:
            raise UsageError("adapters are loaded on the current weights", code="MODEL-049", where="model_path", hint="Unload them first.")
        dtype = str(self.unwrapped.dtype).removeprefix("torch.")
        loaded = load_checkpoint(folder, device="cpu", dtype=dtype, hash=self.base.hash)
        given, own = inner_model(loaded.model).state_dict(), self.unwrapped.state_dict()
        facts = [{name: (value.shape, value.dtype) for name, value in state.items()} for state in (given, own)]
        if facts[0] != facts[1]:
            hint = "Serve a checkpoint of the same architecture, size and data type."
            raise UsageError("the checkpoint does not fit the served model", code="MODEL-050", where="model_path", hint=hint)
        for name, value in own.items():
            value.copy_(given[name])

    def ahead(self, prompt: Sequence[int]) -> int:
        """Return the number of tokens ahead of the first generated one: the prompt, or a decoder's start token if an encoder reads that."""
        return 1 if self.encoder_decoder and not self.speech else len(prompt)

    def check_prompt(self, prompt: Sequence[int]) -> None:
        """Check that all token ids of a prompt are in the vocabulary.

        Raises:
            UsageError: one is not.
        """
        self._check_ids(prompt, "")

    def eos_for(self, sampling: Sampling) -> frozenset[int]:
        """Return the ids of the tokens that end a request's completion."""
        return frozenset(sampling.stop_token_ids) | (frozenset() if sampling.ignore_eos else self.eos_token_ids)

    def _check_ids(self, tokens: Sequence[int], field: str) -> None:
        size = self.unwrapped.get_input_embeddings().weight.shape[0]
        if wrong := [token for token in tokens if not 0 <= token < size]:
            raise UsageError(f"token id {wrong[0]} is not in the vocabulary (0 to {size - 1})", code="MODEL-010", where=field)

    def generation_config(self, length: int, sampling: Sampling) -> GenerationConfig:
        """Return the model's generation config with the request's parameters; `length` is the number of prompt tokens.

        Without a temperature, the model's config decides: it decodes greedily unless `do_sample` is set.

        Raises:
            UsageError: a token id is not in the vocabulary.
        """
        self._check_ids(sampling.stop_token_ids, "stop_token_ids")
        self._check_ids([token for token, _ in sampling.logit_bias], "logit_bias")
        eos_token_ids = sorted(self.eos_for(sampling))
        config: GenerationConfig = copy.deepcopy(self.unwrapped.generation_config)
        truncated = any(value is not None for value in (sampling.top_p, sampling.top_k, sampling.min_p))
        sample = bool(config.do_sample) or truncated if sampling.temperature is None else sampling.temperature >= GREEDY_BELOW
        config.update(  # type: ignore[no-untyped-call]
            max_new_tokens=min(sampling.max_tokens or max(self.max_new_tokens, sampling.min_tokens), self.context - length),
            max_length=None,
            num_beams=1,
            eos_token_id=eos_token_ids or [-1],  # never generated; None would restore the model's own
            pad_token_id=config.pad_token_id if config.pad_token_id is not None else min(self.eos_token_ids, default=0),
            do_sample=sample,
            temperature=_first(sampling.temperature, config.temperature, 1.0) if sample else None,
            top_p=_first(sampling.top_p, config.top_p, 1.0) if sample else None,
            top_k=_first(sampling.top_k, config.top_k, 0) if sample else None,
            min_p=(_first(sampling.min_p, config.min_p) or None) if sample else None,  # 0 takes nothing away, and costs a softmax a token
            min_new_tokens=sampling.min_tokens or None,
            sequence_bias=[[[token], float(bias)] for token, bias in sampling.logit_bias] or None,
            repetition_penalty=_first(sampling.repetition_penalty, config.repetition_penalty),
        )
        return config

    def logits_processors(self, config: GenerationConfig, length: int, extra: Sequence[LogitsProcessor]) -> LogitsProcessorList:
        """Return transformers' logits processors for a prompt of `length` tokens, with `extra` ones before the sampling warpers."""
        device = self.device
        config = copy.deepcopy(config)
        self.unwrapped._prepare_special_tokens(config, True, device=device)
        made: LogitsProcessorList = self.unwrapped._get_logits_processor(
            generation_config=config,
            input_ids_seq_length=length,
            prefix_allowed_tokens_fn=None,
            logits_processor=LogitsProcessorList(extra),
            device=device,
            model_kwargs={},
        )
        return made


def without_processors(config: GenerationConfig) -> GenerationConfig:
    """Return the config without the settings that `ServedModel.logits_processors` covers, for a `generate` call with those processors."""
    config = copy.deepcopy(config)
    sampled = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0} if config.do_sample else {}
    config.update(repetition_penalty=1.0, sequence_bias=None, min_new_tokens=None, **sampled)  # type: ignore[no-untyped-call]
    return config


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@contextmanager
def out_of_memory_as_error() -> Iterator[None]:
    """Convert out-of-memory errors of torch and Python to a SwiftError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _CPU_OUT_OF_MEMORY not in str(error):
            raise
        raise SwiftError(
            "not enough memory for this request", code="MODEL-011", hint="Send a shorter prompt, or serve with a smaller dtype."
        ) from error
