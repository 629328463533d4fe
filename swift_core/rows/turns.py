"""Who speaks after whom: a system prompt, then user and assistant in turn, with the results of tools after the calls for them.

A chat template renders nearly anything, and the model then learns it; so what breaks the order is refused here, with its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_core.rows.values import Wrong

Placed = Sequence[tuple[str, dict[str, Any]]]


def join_calls(placed: Placed) -> list[tuple[str, dict[str, Any]]]:
    """Make assistant messages of "call" messages, which ShareGPT writes apart: calls in a row, and a text before them, are one turn."""
    joined: list[tuple[str, dict[str, Any]]] = []
    for path, message in placed:
        if message["role"] != "call":
            joined.append((path, message))
            continue
        message["role"] = "assistant"
        earlier = joined[-1][1] if joined and joined[-1][1]["role"] == "assistant" else None
        if earlier is None:
            joined.append((path, message))
            continue
        if earlier.get("loss_scale", 1.0) != message.get("loss_scale", 1.0):
            raise Wrong(path, "one turn of the assistant, but its two messages have different losses", "Give both the same.")
        earlier["tool_calls"] = [*earlier.get("tool_calls", ()), *message["tool_calls"]]
    return joined


def check_turns(placed: Placed) -> None:
    """Refuse a conversation whose order is broken, or that has an empty turn.

    Raises:
        Wrong: with the JSON path of the first message that can't stand where it does.
    """
    before = ""
    calls: Sequence[Mapping[str, Any]] = ()  # of the assistant's last turn
    results: list[Any] = []  # ids of the results that came for them
    for path, message in placed:
        role = message["role"]
        if role == "tool":
            _check_result(message, path, before, calls, results)
            results.append(message.get("tool_call_id"))
        elif role == "system":
            if before == "system":
                raise Wrong(path, "a second system message", "Join the two.")
            if before:
                raise Wrong(path, f"a system message after a {before} message", "Put it first, or say it as the user.")
        else:
            if calls:
                _check_answered(calls, results, path, role)
            if role == before:
                raise Wrong(path, f"two {role} messages in a row", "Join them into one, or add what was said between them.")
            if role == "assistant" and before in ("", "system"):
                raise Wrong(path, "the assistant speaks first", "Put the user's question before it.")
            if _empty(message):
                raise Wrong(path, f"an empty {role} message", "Give it a text, or remove the row.")
            calls, results = message.get("tool_calls") or (), []
        before = role


def check_end(placed: Placed, path: str) -> None:
    """Refuse a conversation that does not end with an answer."""
    if not any(message["role"] == "assistant" for _, message in placed):
        raise Wrong(path, "no assistant message: there is nothing to learn", "Add the answer.")
    where, last = placed[-1]
    if last["role"] != "assistant":
        who = "the user" if last["role"] == "user" else "a tool's result"
        raise Wrong(where, f"the conversation ends with {who}; nothing answers it", "Remove the last turn, or add the answer.")


def _empty(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    if content.strip() if isinstance(content, str) else content:
        return False
    return not (message["role"] == "assistant" and (message.get("tool_calls") or message.get("reasoning_content")))


def _check_result(message: Mapping[str, Any], path: str, before: str, calls: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> None:
    identity = message.get("tool_call_id")
    if not calls and (before != "assistant" or identity):  # an assistant without calls may have written one into its text
        raise Wrong(path, "a tool result without a call before it", "Put the assistant's tool call before it.")
    known = [call["id"] for call in calls if "id" in call]
    if identity and identity not in known:
        hint = f"The calls before it have: {', '.join(map(str, known))}." if known else "The calls before it have no ids."
        raise Wrong(f"{path}.tool_call_id", f"no call has the id {identity!r}", hint)
    if identity and identity in results:
        raise Wrong(f"{path}.tool_call_id", f"a second result of the call {identity!r}", "Keep one of them.")
    if len(results) >= max(len(calls), 1):
        raise Wrong(path, f"more tool results than calls ({len(calls)})", "Remove it, or add its call.")


def _check_answered(calls: Sequence[Mapping[str, Any]], results: Sequence[Any], path: str, role: str) -> None:
    if len(results) == len(calls) or results == [None]:  # one result without an id may hold what all calls gave
        return
    missing = next((call for call in calls if call.get("id") not in results), calls[-1])
    name = f"{missing['function']['name']!r}" + (f" (id {missing['id']!r})" if "id" in missing else "")
    raise Wrong(path, f"the {role} speaks, but the call of {name} has no result yet", "Add a tool message with the result before it.")
