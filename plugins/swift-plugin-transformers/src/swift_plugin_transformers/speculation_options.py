"""The speculative decoding that the server's options ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_train.build import load_checkpoint
from swift_train.processors import tokenizer_of

from swift_core.contract import UsageError
from swift_plugin_transformers.detokenizer import context_length
from swift_plugin_transformers.generation import ServedModel
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.speculation import ModelDrafter, NgramDrafter, Speculation
from swift_plugin_transformers.varlen import VarlenUnsupported, probe


def speculation_of(served: ServedModel, options: ServeOptions) -> Callable[[int], Speculation] | None:
    """Return what makes the speculation of a request of up to so many tokens; None if it is off. Load the draft model, if there is one.

    Raises:
        UsageError: the draft model can't be loaded, or has another tokenizer.
    """
    number = options.speculative_tokens
    if not number:
        return None
    if not options.draft_model:
        return lambda capacity: Speculation(NgramDrafter(), number)
    model, context = _draft_model(served, options)
    return lambda capacity: Speculation(ModelDrafter(model, min(capacity, context)), number)


def _draft_model(served: ServedModel, options: ServeOptions) -> tuple[Any, int]:
    """Return the draft model and its context length."""
    loaded = load_checkpoint(Path(options.draft_model), device=str(served.device), dtype=options.dtype)
    tokenizer = tokenizer_of(loaded.processor)
    if tokenizer.get_vocab() != served.tokenizer.get_vocab():
        raise UsageError(
            "the draft model has another vocabulary than the served model",
            code="MODEL-063",
            where="draft_model",
            hint="Use a smaller model of the same family, or omit --draft-model to draft from the request's own tokens.",
        )
    model: Any = loaded.model.eval()
    try:
        probe(model)
    except VarlenUnsupported as reason:
        raise UsageError(
            f"this model can't be a draft model: {reason}", code="MODEL-064", where="draft_model", hint="Use another one."
        ) from None
    return model, context_length(model, tokenizer)
