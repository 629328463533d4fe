"""A tokenizer's chat template: its renderings, and the tokens that end the assistant's turn.

Templates are programs, so their source is never parsed: everything known about them comes from rendering probe conversations.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.template_date import frozen_date_of

if TYPE_CHECKING:
    from swift_data.rows import ChatRow
    from swift_data.rows.conversations import Message
    from transformers import PreTrainedTokenizerBase

Tools = Sequence[Mapping[str, Any]] | None
_PROBE, _PROBE_TOOL = "∎", "probe_tool"
_ASKED: Message = {"role": "user", "content": "?"}
_ANSWERED: Message = {"role": "assistant", "content": _PROBE}
_CALLED: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "probe0000", "type": "function", "function": {"name": _PROBE_TOOL, "arguments": {"argument": "value"}}}],
}
_RESULT: Message = {"role": "tool", "name": _PROBE_TOOL, "tool_call_id": "probe0000", "content": "result"}
_TOOLS: Tools = [
    {"type": "function", "function": {"name": _PROBE_TOOL, "description": "probe", "parameters": {"type": "object", "properties": {}}}}
]
_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
_NOT_RENDERED = ("loss_scale",)  # fields of a message that concern the loss, not the template


class ChatTemplate:
    """Render conversations as text with a tokenizer's chat template.

    Args:
        stops: end-of-turn tokens of the model's family, for templates that write none and for turns that end with another token.

    Attributes:
        stops: texts that end a turn of the assistant, wherever they occur after its last word.
        silent: whether the template writes no end-of-turn token, so that a turn ends with the next role's token (GLM).
        takes_tools: whether the template renders tool definitions.

    Raises:
        UsageError: the tokenizer has no chat template, or the template writes no end of turn and the family knows none either.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str] = ()) -> None:
        if not tokenizer.chat_template:
            raise UsageError(
                "the model has no chat template",
                code="TRAIN-010",
                where="model",
                hint="Start from its chat (instruct) version, or use swift pretrain.",
            )
        self.tokenizer = tokenizer
        self._variables: Mapping[str, Any] = {}
        self._added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        self._parts = self._needs_parts()
        self._json = self._needs_json_arguments()
        tail = self.render([_ASKED, _ANSWERED], None).rpartition(_PROBE)[2]
        known = [stop for stop in (*stops, tokenizer.eos_token) if stop and stop in self._added]
        end = _end(tail, self._added, known)
        self.stops: tuple[str, ...] = tuple(dict.fromkeys([end, *known, *self._marked_ends()] if end else known))
        self._next_plain, self._next_call = ("", "") if end else (self._next(_ANSWERED, _ASKED), self._next(_CALLED, _RESULT))
        self.silent = not end
        if self.silent and not self._next_plain:
            raise UsageError(
                "the chat template writes nothing after the assistant's turn, so the model would never learn to stop",
                code="TRAIN-011",
                where="model",
                hint="Set --family if a model family knows this model's end-of-turn token, or fix the template.",
            )
        self.takes_tools = self._takes_tools()

    def for_row(self, row: ChatRow) -> ChatTemplate:
        """Return the template with the row's own variables set."""
        if not row.variables:
            return self
        own = copy.copy(self)
        own._variables = row.variables
        return own

    def render(self, messages: Sequence[Message], tools: Tools, *, prompt: bool = False) -> str:
        """Render a conversation as text; with `prompt`, including the generation prompt.

        Raises:
            UsageError: the template raises an error for this conversation, or is not valid Jinja.
        """
        given: Any = [dict(tool) for tool in tools] if tools else None
        try:
            with frozen_date_of(self.tokenizer):
                return str(
                    self.tokenizer.apply_chat_template(
                        self.prepare(messages), tools=given, add_generation_prompt=prompt, tokenize=False, **self._variables
                    )
                )
        except _refusals() as error:
            if (line := getattr(error, "lineno", None)) is not None:  # jinja2's TemplateSyntaxError
                problem = f"the model's chat template is not a valid Jinja template: {error} (line {line})"
                raise UsageError(
                    problem, code="TRAIN-012", where="model", hint="Download chat_template.jinja from the model's page again."
                ) from error
            raise UsageError(
                f"the chat template refuses the conversation: {error}", code="TRAIN-013", hint="Change the row, or remove it."
            ) from error

    def prepare(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Return the messages in the form that this template takes: contents as strings or parts, call arguments as objects or JSON."""
        return [self._prepared({key: value for key, value in message.items() if key not in _NOT_RENDERED}) for message in messages]

    def _prepared(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._parts and isinstance(message.get("content"), str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        if self._json and message.get("tool_calls"):
            calls = [(call, call["function"]) for call in message["tool_calls"]]
            message["tool_calls"] = [
                {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}
                for call, function in calls
            ]
        return message

    def _needs_parts(self) -> bool:
        """Return whether the template renders a message only if its content is a list of parts, as templates of vision models do."""
        self._parts = self._json = False
        if self._shows(_PROBE, [_ASKED, _ANSWERED]):
            return False
        self._parts = True
        return self._shows(_PROBE, [_ASKED, _ANSWERED])

    def _needs_json_arguments(self) -> bool:
        """Return whether the template takes the arguments of a tool call only as JSON text (DeepSeek V3)."""
        if self._shows(_PROBE_TOOL, [_ASKED, _CALLED]):
            return False
        self._json = True
        return self._shows(_PROBE_TOOL, [_ASKED, _CALLED])

    def _shows(self, probe: str, messages: Sequence[Message]) -> bool:
        try:
            return probe in self.render(messages, None)
        except UsageError:
            return False

    def next_speaker(self, message: Message) -> str:
        """Return what ends a turn of a silent template: the next role's token with the whitespace before it; '' if unknown."""
        return self._next_call if message.get("tool_calls") else self._next_plain

    def _next(self, message: Message, following: Message) -> str:
        try:
            through = self.render([_ASKED, message], _TOOLS if message is _CALLED else None).rstrip()
            whole = self.render([_ASKED, message, following], _TOOLS if message is _CALLED else None)
        except UsageError:
            return ""
        rest = whole.removeprefix(through)
        stop = next((stop for stop in self.stops if rest.lstrip().startswith(stop)), "")
        return rest[: len(rest) - len(rest.lstrip())] + stop if stop and whole.startswith(through) else ""

    def _marked_ends(self) -> list[str]:
        """Return the control tokens that end the template's own {% generation %} blocks, if only whitespace follows a block."""
        from transformers.utils.chat_template_utils import render_jinja_template

        if not _MARKS.search(str(self.tokenizer.chat_template)):
            return []
        ends = []
        for message, tools in ((_ANSWERED, None), (_CALLED, _TOOLS)):
            try:
                given: Any = [dict(tool) for tool in tools] if tools else None
                special: Any = self.tokenizer.special_tokens_map
                chosen = self.tokenizer.get_chat_template(None, given)
                made: Any = render_jinja_template(
                    [self.prepare([_ASKED, message])], tools=given, chat_template=chosen, return_assistant_tokens_mask=True, **special
                )
            except _refusals():
                continue
            text, spans = made[0][0], made[1][0]
            if spans and not text[spans[-1][1] :].strip():
                marked = text[slice(*spans[-1])].rstrip()
                ends += [token for token in self._added if marked.endswith(token)]
        return ends

    def _takes_tools(self) -> bool:
        try:
            return _PROBE_TOOL in self.render([_ASKED], _TOOLS, prompt=True)
        except UsageError:
            return False


def _first_token(tail: str, added: set[str]) -> str:
    """Return what a template writes after the last word of a turn, up to the first control token; all of it if there is none."""
    found = [(tail.index(token), -len(token), token) for token in added if token in tail]
    if not found:
        return tail.strip()
    start, _, token = min(found)
    return (tail[:start] + token).strip()


def _end(tail: str, added: set[str], known: Sequence[str]) -> str:
    """Return the first control token of a tail, or a known end token that only control tokens precede: Command A closes an answer first."""
    end = first = _first_token(tail, added)
    while end and not end.endswith(tuple(known)):
        rest = tail[tail.index(end) + len(end) :]
        following = max((token for token in added if rest.startswith(token)), key=len, default="")
        if not following:
            return first
        end += following
    return end


def _refusals() -> tuple[type[Exception], ...]:
    from jinja2 import TemplateError

    return TemplateError, TypeError, ValueError, IndexError, KeyError, AttributeError
