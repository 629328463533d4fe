"""Locate the assistant's turns in the renderings of a chat template.

The template is rendered twice for turn i:

    before  = the messages before it, with the generation prompt     what an engine sends to the model
    through = the messages up to and including it                    the conversation right after the turn was generated

`before` must be a prefix of `through`; the rest of `through`, up to and including the end-of-turn token, is what the model generates. Some
templates rewrite the text before a turn once it is answered: Mistral's v3 renders the system message only with the last question, gpt-oss
removes the reasoning before a tool call. The turn is then what the template renders for it after a plain question; it must also be a suffix
of `through`, after the same header, and is supervised after `before`. Nothing is guessed: if the renderings disagree, or the turn lacks a
part of the row, an error is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.contract import UsageError
from swift_train.patched_templates import matching_patch

if TYPE_CHECKING:
    from swift_data.rows.conversations import Message

    from swift_train.chat_template import ChatTemplate, Tools

_REASONING = ("<think>", "</think>")
_ASKED = {"role": "user", "content": "?"}


class Turn(NamedTuple):
    """A turn within `text`, the conversation up to it: from `start` to before `stop`, followed by whitespace up to `tail`."""

    text: str
    start: int
    stop: int
    tail: int


def locate(template: ChatTemplate, messages: Sequence[Message], tools: Tools, index: int) -> Turn:
    """Locate the turn of `messages[index]`.

    Raises:
        UsageError: the template omits a part of the turn, does not end it, or does not begin it with its generation prompt.
    """
    message, number = messages[index], index + 1
    before = template.render(messages[:index], tools, prompt=True)
    through = template.render(messages[:number], tools)
    if not through.startswith(before):
        alone = _rendered_alone(template, message, tools, before, through)
        if alone is None:
            raise _prompt_mismatch(template, before, through, number, template.render(messages[:index], tools) if index else "")
        through = before + alone
    generated = through[len(before) :]
    _check_present(generated, message, number)
    if template.silent:
        stop = template.next_speaker(message)
        text = through.rstrip() + stop
        if not stop:
            raise _no_end(template, number)
        return Turn(text, len(before), len(text), len(text))
    end = _end(generated, template.stops, message)
    if end is None:
        raise _no_end(template, number)
    after = generated[end:]
    return Turn(through, len(before), len(before) + end, len(before) + end + len(after) - len(after.lstrip()))


def _rendered_alone(template: ChatTemplate, message: Message, tools: Tools, before: str, through: str) -> str | None:
    """Return the rendering of a turn after a plain question, if `through` ends with it too, after the header of `before`; else None."""
    try:
        prompt = template.render([_ASKED], tools, prompt=True)
        answered = template.render([_ASKED, message], tools)
    except UsageError:
        return None
    generated = answered.removeprefix(prompt)
    if generated == answered or not generated or not through.endswith(generated):
        return None
    header = _common_suffix(prompt, before)
    return generated if header and through.removesuffix(generated).endswith(header) else None


def _common_suffix(one: str, other: str) -> str:
    count = next((at for at, pair in enumerate(zip(one[::-1], other[::-1], strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    return one[len(one) - count :]


def check_shown(text: str, messages: Sequence[Message], tools: Tools) -> None:
    """Check that a rendering contains the messages of the other roles, and the tools.

    Raises:
        UsageError: the template omits a part of them.
    """
    for number, message in enumerate(messages, 1):
        if message["role"] != "assistant" and (absent := _absent(text, _texts(message))) is not None:
            raise UsageError(
                f"the chat template omits a part of message {number} ({message['role']}): {_short(absent)}",
                code="TRAIN-080",
                hint="Use a model whose template renders such messages, or change the row.",
            )
    for tool in tools or ():
        function = tool.get("function", tool)
        properties = (function.get("parameters") or {}).get("properties") or {}
        if (absent := _absent(text, [function["name"], function.get("description") or "", *map(str, properties)])) is not None:
            raise UsageError(
                f"the chat template does not support tools: it omits {_short(absent)}",
                code="TRAIN-081",
                hint="Use a model whose template renders tools, or remove 'tools' from the row.",
            )


def check_everything(text: str, messages: Sequence[Message], tools: Tools) -> None:
    """Check that a fully supervised rendering contains the whole row, and that no message has a loss weight of its own.

    Raises:
        UsageError: the template omits a part of the row, or a message has `loss_scale`.
    """
    check_shown(text, messages, tools)
    for number, message in enumerate(messages, 1):
        if "loss_scale" in message:
            raise UsageError(
                f"message {number} has loss_scale {message['loss_scale']}, but with --mask.turns everything all text has the same weight",
                code="TRAIN-082",
                hint="Omit --mask.turns everything, or remove loss_scale from the rows.",
            )
        if message["role"] == "assistant":
            _check_present(text, message, number)


def _prompt_mismatch(template: ChatTemplate, before: str, through: str, number: int, ahead: str) -> UsageError:
    shared = next((at for at, (one, other) in enumerate(zip(before, through, strict=False)) if one != other), len(through))
    if shared < len(ahead):
        return UsageError(
            f"the chat template changes the text before message {number} once it is answered ({_short(before[shared:])})",
            code="TRAIN-083",
            hint="At inference the model would see another prompt: use another template (--chat-template), or change the rows.",
        )
    name = matching_patch(template.tokenizer)
    return UsageError(
        f"the chat template does not begin message {number} with its generation prompt, which continues with {_short(before[shared:])}",
        code="TRAIN-084",
        hint=f"Use --chat-template {name}: this template with turns as the model generates them (same prompts, reasoning in the last turn)."
        if name
        else "At inference the model would generate other text than the row has. If the template opens a reasoning block, use rows with "
        """reasoning, or turn it off with a variable: --template-variables '{"enable_thinking": false}'.""",
    )


def _no_end(template: ChatTemplate, number: int) -> UsageError:
    return UsageError(
        f"the rendered message {number} does not end with {' or '.join(map(repr, template.stops))}, the end-of-turn token",
        code="TRAIN-085",
        hint="Fix the chat template: without the token, the model would never learn to stop.",
    )


def _end(generated: str, stops: Sequence[str], message: Message) -> int | None:
    """Return where a turn ends: after the first end-of-turn text that is not part of the message itself; None if there is none."""
    words = [*_texts(message), str(message.get("reasoning_content") or "")]
    found = []
    for stop in stops:
        place = -1
        for _ in range(1 + sum(word.count(stop) for word in words)):
            place = generated.find(stop, place + 1)
        if place >= 0:
            found.append((place, -len(stop)))
    return min(found)[0] - min(found)[1] if found else None


def _check_present(generated: str, message: Message, number: int) -> None:
    """Check that a turn contains the message's text, reasoning and tool calls."""
    for call in message.get("tool_calls") or ():
        if (absent := _absent(generated, [call["function"]["name"], *_leaves(call["function"]["arguments"])])) is not None:
            raise UsageError(
                f"the chat template omits the tool call in message {number}: {_short(absent)} is missing",
                code="TRAIN-086",
                hint="Use a model whose template renders tool calls.",
            )
    reasoning = str(message.get("reasoning_content") or "")
    if (absent := _absent(generated, [reasoning, *_inline_reasoning(message)])) is not None:
        raise UsageError(
            f"the chat template omits the reasoning in message {number}: {_short(absent)}",
            code="TRAIN-087",
            hint="Use a model whose template renders reasoning, or remove it from the rows.",
        )
    if (absent := _absent(generated, _texts(message))) is not None:
        raise UsageError(
            f"the chat template omits a part of message {number}: {_short(absent)}",
            code="TRAIN-088",
            hint="Use a model whose template renders it, or change the row.",
        )


def _absent(text: str, fragments: Iterable[str]) -> str | None:
    """Return the first fragment that the text does not contain, ignoring whitespace and JSON escapes; None if there is none."""
    squeezed = ""
    for fragment in fragments:
        if fragment in text or not fragment.strip():
            continue
        squeezed = squeezed or _squeeze(text)
        spellings = (fragment, json.dumps(fragment)[1:-1], json.dumps(fragment, ensure_ascii=False)[1:-1])
        if not any(_squeeze(spelling) in squeezed for spelling in spellings):
            return fragment
    return None


def _texts(message: Message) -> list[str]:
    """Return a message's texts, split at the reasoning tags, which templates render in their own way."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return _split(content)
    return [piece for part in content if part.get("type") == "text" for piece in _split(part["text"])]


def _inline_reasoning(message: Message) -> list[str]:
    content = message.get("content") or ""
    if not isinstance(content, str) or _REASONING[1] not in content:
        return []
    return [content.partition(_REASONING[1])[0].rpartition(_REASONING[0])[2]]


def _split(text: str) -> list[str]:
    return [piece for half in text.split(_REASONING[0]) for piece in half.split(_REASONING[1])]


def _leaves(value: Any) -> Iterator[str]:
    """Yield the names and values in the arguments of a tool call, as text."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value
    elif value is not None and not isinstance(value, bool):
        yield json.dumps(value)


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
