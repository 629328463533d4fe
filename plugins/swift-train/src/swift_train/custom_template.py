"""A chat template of the user's own, and values for a template's variables. Both are saved with the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError
from swift_train.patched_templates import patched_templates
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from swift_train.options import SftOptions


def use_template(processor: Any, options: SftOptions) -> None:
    """Give a tokenizer or processor the chat template that the options ask for.

    Variables are set in the template itself, so that whatever serves the checkpoint renders as training did, without being told.

    Raises:
        UsageError: the file can't be read, or there is no template whose variables could be set.
    """
    tokenizer = tokenizer_of(processor)
    template = _template(options.chat_template) if options.chat_template else tokenizer.chat_template
    if options.template_variables:
        if not isinstance(template, str):
            raise UsageError(
                "the model has no chat template, or several", where="template_variables", hint="Name one: --chat-template FILE."
            )
        if wrong := next((name for name in options.template_variables if not name.isidentifier()), ""):
            raise UsageError(f"'{wrong}' can't be the name of a variable", where="template_variables", hint="Use the template's name.")
        template = "".join(f"{{% set {name} = {_literal(value)} %}}" for name, value in options.template_variables.items()) + template
    if options.chat_template or options.template_variables:
        processor.chat_template = tokenizer.chat_template = template


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # true, false, numbers and quoted texts are the same in Jinja


def _template(asked: str) -> str:
    """The text of a file, or of a template that is called so here."""
    if asked in patched_templates() and not Path(asked).exists():
        return patched_templates()[asked]
    return _read(Path(asked))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"Name a file with a Jinja template, in UTF-8, or one of: {', '.join(patched_templates())}."
        raise UsageError(f"the chat template can't be read: {error}", where="chat_template", hint=hint) from None
