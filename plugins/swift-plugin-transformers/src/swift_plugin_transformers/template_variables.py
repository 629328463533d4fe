"""Check the chat template variables of a request (`chat_template_kwargs`)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import meta
from transformers.utils.chat_template_utils import _compile_jinja_template

from swift_core.contract import UsageError

_RESERVED = frozenset({"messages", "raise_exception", "strftime_now"})


def check_template_variables(tokenizer: Any, variables: Mapping[str, Any]) -> None:
    """Check that the chat template uses each variable and that none is reserved, such as the messages or the template itself.

    Raises:
        UsageError: a variable is unused or reserved.
    """
    if not variables:
        return
    templates = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {"": tokenizer.chat_template}
    used = frozenset[str]().union(*(_variables(text) for text in templates.values()))
    reserved = {*_RESERVED, *inspect.signature(tokenizer.apply_chat_template).parameters, *tokenizer.special_tokens_map} - {"documents"}
    for name in variables:
        if name in reserved or name not in used:
            known = ", ".join(sorted(used - reserved))
            hint = f"Its variables: {known}." if known else "It has no variables."
            field = "reasoning_effort" if name == "reasoning_effort" else "chat_template_kwargs"
            raise UsageError(f"the model's chat template has no variable '{name[:50]}'", code="MODEL-033", where=field, hint=hint)


@lru_cache
def _variables(template: str) -> frozenset[str]:
    """Return the undeclared variables of a template."""
    environment: Any = _compile_jinja_template(template).environment  # transformers' environment, with its extensions
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))
