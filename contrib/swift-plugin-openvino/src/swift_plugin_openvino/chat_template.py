"""Chat templates, rendered exactly as transformers does, so that prompts equal those of training.

OpenVINO's renderer is not used: it adds tool descriptions even if the template does not support tools.
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

from swift_core.contract import UsageError

Messages = Sequence[Mapping[str, Any]]


class ChatTemplate:
    """A model's chat template.

    Args:
        source: the Jinja source; empty if the model has no chat template.
        special: the special tokens that templates refer to: `bos_token`, `eos_token`, …
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationBlock]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise, "strftime_now": lambda form: datetime.now().strftime(form)}
        self._special = dict(special)
        try:
            self._template = environment.from_string(source) if source else None
        except TemplateError as error:
            raise UsageError(
                f"the chat template can't be read: {error}", code="SERVE-004", hint="Pass another one: --chat-template FILE."
            ) from error

    def render(self, messages: Messages, *, tools: Messages = (), generation_prompt: bool = True) -> str:
        """Return the text of a conversation.

        Raises:
            UsageError: there is no template, it rejects the messages, or it does not support tools.
        """
        if self._template is None:
            raise UsageError(
                "the model has no chat template", code="SERVE-005", hint="Use /v1/completions, or serve it with --chat-template FILE."
            )
        text = self._render(messages, tools, generation_prompt)
        if tools and text == self._render(messages, (), generation_prompt):
            raise UsageError(
                "the model's chat template does not support tools",
                code="SERVE-006",
                hint="Omit 'tools', or serve a model that supports them.",
            )
        return text

    def _render(self, messages: Messages, tools: Messages, generation_prompt: bool) -> str:
        assert self._template
        try:
            return self._template.render(
                messages=list(messages), tools=list(tools) or None, documents=None, add_generation_prompt=generation_prompt, **self._special
            )
        except Exception as error:  # a template may raise anything
            raise UsageError(f"the model's chat template rejects these messages: {error}", code="SERVE-007") from None


class GenerationBlock(Extension):
    """The tag `{% generation %}`, which marks assistant content for training and renders nothing itself."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the content of the block, without the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)  # Jinja's filter would escape HTML


def _raise(message: str) -> None:
    raise TemplateError(message)
