"""A user's chat template and values of template variables; both are saved with the checkpoint."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.patched_templates import patched_templates
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from swift_train.options import ChatOptions


def use_template(processor: Any, options: ChatOptions) -> None:
    """Set the chat template of a tokenizer or processor as `chat_template`, `template_variables` and `agent_template` say.

    Variables are assigned inside the template itself, so that any server of the checkpoint renders conversations as training did.

    Raises:
        UsageError: the file can't be read, a name is not an identifier, or there is no single template to set variables in.
    """
    tokenizer = tokenizer_of(processor)
    template = _template(options.chat_template) if options.chat_template else tokenizer.chat_template
    if options.template_variables:
        if not isinstance(template, str):
            raise UsageError(
                "the model has no single chat template",
                code="TRAIN-017",
                where="template_variables",
                hint="Pass one: --chat-template FILE.",
            )
        if wrong := next((name for name in options.template_variables if not name.isidentifier()), ""):
            raise UsageError(
                f"'{wrong}' is not a valid variable name",
                code="TRAIN-018",
                where="template_variables",
                hint="Use a name that the template reads.",
            )
        template = "".join(f"{{% set {name} = {_literal(value)} %}}" for name, value in options.template_variables.items()) + template
    if options.agent_template:
        if not isinstance(template, str):
            hint = "Pass one: --chat-template FILE, or chatml."
            raise UsageError("there is no single chat template to write tools in", code="TRAIN-228", where="agent_template", hint=hint)
        template = _bundled("agent_templates")[options.agent_template] + template
    if options.chat_template or options.template_variables or options.agent_template:
        processor.chat_template = tokenizer.chat_template = template


def bundled_templates() -> list[str]:
    """Return the names of the chat templates that come with this package."""
    return sorted({*patched_templates(), *_bundled("plain_templates")})


@cache
def _bundled(folder: str) -> dict[str, str]:
    """Return the templates in a folder of this package, by name."""
    found = [path for path in (files("swift_train") / folder).iterdir() if path.name.endswith(".jinja")]
    return {path.name.removesuffix(".jinja"): path.read_text(encoding="utf-8").rstrip("\n") for path in found}


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # Jinja writes true, false, numbers and strings as JSON does


def _template(name: str) -> str:
    """Return the template text of a file, or of the patched template of that name."""
    known = {**_bundled("plain_templates"), **patched_templates()}
    if name in known and not Path(name).exists():
        return known[name]
    return _read(Path(name))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"Pass a UTF-8 file with a Jinja template, or one of: {', '.join(bundled_templates())}."
        raise UsageError(f"the chat template can't be read: {error}", code="TRAIN-019", where="chat_template", hint=hint) from None
