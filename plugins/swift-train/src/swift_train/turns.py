"""Where a turn of the assistant begins and ends in a chat template's renderings.

The template is asked twice for turn i:

    before  = the messages ahead of it, with the generation prompt     what the engine sends the model
    through = the messages up to and with it                           the turn as it stood at its own moment

`before` must be the beginning of `through`; what follows it, through the end-of-turn token, is what the model says. Some templates rewrite
what is ahead of a turn once it is answered: Mistral's v3 shows the system message with the last question alone, gpt-oss drops the thought
ahead of a call. What is said is then what the template writes for the turn after a plain question; it must be the end of `through` too,
behind the same header, and is learned behind `before`. Nothing is guessed: where the renderings don't agree, or where the turn lacks what
the row holds, it is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.contract.errors import UsageError
from swift_train.patched_templates import matching_patch

if TYPE_CHECKING:
    from swift_data.rows.conversations import Message

    from swift_train.chat_template import ChatTemplate, Tools

_THOUGHT = ("<think>", "</think>")
_ASKED = {"role": "user", "content": "?"}


class Turn(NamedTuple):
    """A turn in the conversation up to it, `text`: it begins at `start`, ends before `stop`, and whitespace follows up to `tail`."""

    text: str
    start: int
    stop: int
    tail: int


def locate(template: ChatTemplate, messages: Sequence[Message], tools: Tools, index: int) -> Turn:
    """The turn of `messages[index]`.

    Raises:
        UsageError: the template leaves out a part of the turn, doesn't end it, or doesn't begin it as its generation prompt does.
    """
    message, number = messages[index], index + 1
    before = template.render(messages[:index], tools, prompt=True)
    through = template.render(messages[:number], tools)
    if not through.startswith(before):
        alone = _said_alone(template, message, tools, before, through)
        if alone is None:
            raise _other_beginning(template, before, through, number, template.render(messages[:index], tools) if index else "")
        through = before + alone
    said = through[len(before) :]
    _check_present(said, message, number)
    if template.silent:
        stop = template.next_speaker(message)
        text = through.rstrip() + stop
        if not stop:
            raise _no_end(template, number)
        return Turn(text, len(before), len(text), len(text))
    end = _end(said, template.stops, message)
    if end is None:
        raise _no_end(template, number)
    after = said[end:]
    return Turn(through, len(before), len(before) + end, len(before) + end + len(after) - len(after.lstrip()))


def _said_alone(template: ChatTemplate, message: Message, tools: Tools, before: str, through: str) -> str | None:
    """What the template writes for a turn after a plain question, if that is how `through` ends too, behind the header of `before`."""
    try:
        asked = template.render([_ASKED], tools, prompt=True)
        answered = template.render([_ASKED, message], tools)
    except UsageError:
        return None
    said = answered.removeprefix(asked)
    if said == answered or not said or not through.endswith(said):
        return None
    header = _shared_end(asked, before)
    return said if header and through.removesuffix(said).endswith(header) else None


def _shared_end(one: str, other: str) -> str:
    count = next((at for at, pair in enumerate(zip(one[::-1], other[::-1], strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    return one[len(one) - count :]


def check_shown(text: str, messages: Sequence[Message], tools: Tools) -> None:
    """Check that the template shows the model what others say, and the tools.

    Raises:
        UsageError: it leaves something out.
    """
    for number, message in enumerate(messages, 1):
        if message["role"] != "assistant" and (absent := _absent(text, _texts(message))) is not None:
            raise UsageError(
                f"the chat template leaves out what message {number} ({message['role']}) says: {_short(absent)}",
                hint="Use a model whose template shows such messages, or change the row.",
            )
    for tool in tools or ():
        function = tool.get("function", tool)
        properties = (function.get("parameters") or {}).get("properties") or {}
        if (absent := _absent(text, [function["name"], function.get("description") or "", *map(str, properties)])) is not None:
            raise UsageError(
                f"the chat template has no place for tools: {_short(absent)} would be left out",
                hint="Use a model whose template has one, or drop 'tools'.",
            )


def check_everything(text: str, messages: Sequence[Message], tools: Tools) -> None:
    """Check that a rendering that is learned whole holds all that the row says, and that nothing of it is to be learned otherwise.

    Raises:
        UsageError: it leaves something out, or a message has a loss of its own.
    """
    check_shown(text, messages, tools)
    for number, message in enumerate(messages, 1):
        if "loss_scale" in message:
            raise UsageError(
                f"message {number} has a loss of its own ({message['loss_scale']}), but everything is learned alike",
                hint="Leave --mask.turns everything out, or take the losses out of the rows.",
            )
        if message["role"] == "assistant":
            _check_present(text, message, number)


def _other_beginning(template: ChatTemplate, before: str, through: str, number: int, ahead: str) -> UsageError:
    shared = next((at for at, (one, other) in enumerate(zip(before, through, strict=False)) if one != other), len(through))
    if shared < len(ahead):
        return UsageError(
            f"the chat template writes the messages ahead of message {number} otherwise once it is answered ({_short(before[shared:])})",
            hint="What the model would be asked is not what the row shows: use another template (--chat-template), or change the rows.",
        )
    name = matching_patch(template.tokenizer)
    return UsageError(
        f"the chat template does not begin message {number} as its generation prompt does, which goes on with {_short(before[shared:])}",
        hint=f"--chat-template {name} is this template with turns as the model says them: the same prompts, and thoughts in the last turn."
        if name
        else "What the model would be asked for is not what the row holds. A template that opens a thought wants rows with thoughts, or a "
        """variable that turns thinking off: --template-variables '{"enable_thinking": false}'.""",
    )


def _no_end(template: ChatTemplate, number: int) -> UsageError:
    return UsageError(
        f"message {number} does not end with {' or '.join(map(repr, template.stops))}, as turns of this model do",
        hint="Check the chat template: a turn that does not end so teaches the model never to stop.",
    )


def _end(said: str, stops: Sequence[str], message: Message) -> int | None:
    """Where a turn ends: after the first of its possible ends that is not the message's own text."""
    words = [*_texts(message), str(message.get("reasoning_content") or "")]
    found = []
    for stop in stops:
        place = -1
        for _ in range(1 + sum(word.count(stop) for word in words)):
            place = said.find(stop, place + 1)
        if place >= 0:
            found.append((place, -len(stop)))
    return min(found)[0] - min(found)[1] if found else None


def _check_present(said: str, message: Message, number: int) -> None:
    """Check that the turn holds all that the row says."""
    for call in message.get("tool_calls") or ():
        if (absent := _absent(said, [call["function"]["name"], *_leaves(call["function"]["arguments"])])) is not None:
            raise UsageError(
                f"the chat template leaves out the tool call in message {number}: {_short(absent)} is not in it",
                hint="Use a model whose template writes tool calls.",
            )
    thought = str(message.get("reasoning_content") or "")
    if (absent := _absent(said, [thought, *_thoughts(message)])) is not None:
        raise UsageError(
            f"the chat template leaves out the thinking in message {number}: {_short(absent)}",
            hint="Use a model whose template writes thoughts, or take them out of the rows.",
        )
    if (absent := _absent(said, _texts(message))) is not None:
        raise UsageError(
            f"the chat template leaves out a part of message {number}: {_short(absent)}",
            hint="Use a model whose template writes it, or change the row.",
        )


def _absent(text: str, fragments: Iterable[str]) -> str | None:
    """The first fragment that is not in the text, also not when whitespace and JSON's escapes are disregarded."""
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
    """A message's texts, cut where thoughts begin and end: templates write the tags in their own way."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return _cut(content)
    return [piece for part in content if part.get("type") == "text" for piece in _cut(part["text"])]


def _thoughts(message: Message) -> list[str]:
    content = message.get("content") or ""
    if not isinstance(content, str) or _THOUGHT[1] not in content:
        return []
    return [content.partition(_THOUGHT[1])[0].rpartition(_THOUGHT[0])[2]]


def _cut(text: str) -> list[str]:
    return [piece for half in text.split(_THOUGHT[0]) for piece in half.split(_THOUGHT[1])]


def _leaves(value: Any) -> Iterator[str]:
    """Names and values in a call's arguments, as text."""
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
