"""Chat templates, rendered as transformers renders them: the text that the model was trained on, to the letter.

OpenVINO's own renderer adds descriptions of tools where a template has no place for them, so it is not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from swift_core.contract.errors import UsageError

Messages = Sequence[Mapping[str, Any]]


class ChatTemplate:
    """A model's chat template.

    Args:
        source: Jinja; empty for a model that has none.
        special: the texts of special tokens that templates write: `bos_token`, `eos_token`, …
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationBlock]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        self._special = dict(special)
        try:
            self._template = environment.from_string(source) if source else None
        except TemplateError as error:
            raise UsageError(f"the chat template can't be read: {error}", hint="--chat-template FILE gives another.") from error

    def render(self, messages: Messages, *, tools: Messages = (), generation_prompt: bool = True) -> str:
        """The text of a conversation.

        Raises:
            UsageError: there is no template, or it refuses these messages or has no place for tools.
        """
        if self._template is None:
            raise UsageError("this model has no chat template", hint="Use /v1/completions, or serve it with --chat-template FILE.")
        text = self._rendered(messages, tools, generation_prompt)
        if tools and text == self._rendered(messages, (), generation_prompt):
            raise UsageError(
                "the model's chat template has no place for tools", hint="Leave 'tools' out, or serve a model that takes them."
            )
        return text

    def _rendered(self, messages: Messages, tools: Messages, generation_prompt: bool) -> str:
        assert self._template
        try:
            return self._template.render(
                messages=list(messages), tools=list(tools) or None, documents=None, add_generation_prompt=generation_prompt, **self._special
            )
        except Exception as error:  # templates refuse by raising whatever they like
            raise UsageError(f"the model's chat template refuses these messages: {error}") from None


class GenerationBlock(Extension):
    """`{% generation %}`, which marks the assistant's words for training and writes nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The block's content, as if the tags were not there."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)  # Jinja's own escapes for HTML


def _refuse(message: str) -> None:
    raise TemplateError(message)
