"""Reasoning of the assistant: normalised to one field, `reasoning_content`, whatever the source calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_data.rows.values import Wrong, text_of

NAMES = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts", "think")
ON, OFF = ("true", "on", "yes"), ("false", "off", "no")  # words that switch thinking on or off
_CLOSING = "</think>"


def thought_of(item: Mapping[str, Any], path: str) -> str:
    """Return the reasoning in an object's fields, or ''.

    Raises:
        Wrong: it is not text, or two fields differ.
    """
    given = {name: text_of(item[name], f"{path}.{name}") for name in NAMES if item.get(name) not in (None, "")}
    if switch := next((name for name, text in given.items() if text.strip().lower() in (*ON, *OFF)), ""):
        hint = f"""--data.columns '{{"{switch}": "enable_thinking"}}' reads it as a variable of the chat template."""
        raise Wrong(
            f"{path}.{switch}", f"{given[switch]!r} is a switch, not reasoning", hint if path == "$" else "Remove it.", code="DATA-082"
        )
    if len(set(given.values())) > 1:
        first, second = list(given)[:2]
        raise Wrong(
            f"{path}.{second}", f"reasoning is given twice, and differs: '{first}' and '{second}'", "Keep one of them.", code="DATA-083"
        )
    return next(iter(given.values()), "")


def add_thought(message: dict[str, Any], thought: str, path: str) -> None:
    """Set the reasoning of a message; nothing is done if it is ''.

    Raises:
        Wrong: the message is not the assistant's, or has other reasoning already.
    """
    if not thought:
        return
    if message["role"] not in ("assistant", "call"):
        raise Wrong(path, f"a {message['role']} message has thinking", "Only assistant messages can have thinking.", code="DATA-084")
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
    if message.get("reasoning_content", thought) != thought or any(_CLOSING in text for text in texts):
        raise Wrong(path, "reasoning is given twice: in the text, and in a separate field", "Keep one of them.", code="DATA-085")
    message["reasoning_content"] = thought
