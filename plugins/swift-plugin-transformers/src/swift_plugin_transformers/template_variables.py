"""What a request may tell the chat template beside its messages: variables that the template reads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import meta
from transformers.utils.chat_template_utils import _compile_jinja_template

from swift_core.contract.errors import UsageError

_OWN = frozenset({"messages", "raise_exception", "strftime_now"})


def check_template_variables(tokenizer: Any, variables: Mapping[str, Any]) -> None:
    """Refuse what the template would not read, and what is not the client's to say: another template, other messages.

    Raises:
        UsageError: there is such a variable.
    """
    if not variables:
        return
    templates = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {"": tokenizer.chat_template}
    read = frozenset[str]().union(*(_read(text) for text in templates.values()))
    taken = {*_OWN, *inspect.signature(tokenizer.apply_chat_template).parameters, *tokenizer.special_tokens_map} - {"documents"}
    for name in variables:
        if name in taken or name not in read:
            known = ", ".join(sorted(read - taken))
            hint = f"It reads {known}." if known else "It reads none."
            field = "reasoning_effort" if name == "reasoning_effort" else "chat_template_kwargs"
            raise UsageError(f"the model's chat template reads no '{name[:50]}' of a request", where=field, hint=hint)


@lru_cache
def _read(template: str) -> frozenset[str]:
    """The names that a template looks up outside of itself."""
    environment: Any = _compile_jinja_template(template).environment  # transformers' own, with its extensions
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))
