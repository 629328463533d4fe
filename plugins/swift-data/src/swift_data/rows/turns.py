"""The order of turns: a system prompt, then user and assistant alternately, with tool results after their tool calls.

A chat template renders almost anything and the model then learns it, so conversations that break the order are refused here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift_data.rows.values import Wrong

Placed = Sequence[tuple[str, dict[str, Any]]]


def join_calls(placed: Placed) -> list[tuple[str, dict[str, Any]]]:
    """Convert "call" messages, which ShareGPT writes separately, to assistant messages; merge adjacent ones, and a text before them."""
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
            raise Wrong(
                path, "two messages of one assistant turn have different loss weights", "Give both the same weight.", code="DATA-097"
            )
        earlier["tool_calls"] = [*earlier.get("tool_calls", ()), *message["tool_calls"]]
    return joined


def check_turns(placed: Placed) -> None:
    """Check the order of turns, and that no turn is empty.

    Raises:
        Wrong: with the JSON path of the first message that is out of order or empty.
    """
    before = ""
    calls: Sequence[Mapping[str, Any]] = ()  # tool calls of the last assistant turn
    results: list[Any] = []  # the call ids of their results so far
    for path, message in placed:
        role = message["role"]
        if role == "tool":
            _check_result(message, path, before, calls, results)
            results.append(message.get("tool_call_id"))
        elif role == "system":
            if before == "system":
                raise Wrong(path, "a second system message", "Merge the two.", code="DATA-098")
            if before:
                raise Wrong(
                    path,
                    f"a system message after a {before} message",
                    "Move it to the beginning, or make it a user message.",
                    code="DATA-099",
                )
        else:
            if calls:
                _check_answered(calls, results, path, role)
            if role == before:
                raise Wrong(path, f"two {role} messages in a row", "Merge them, or add the missing turn between them.", code="DATA-100")
            if role == "assistant" and before in ("", "system"):
                raise Wrong(path, "the conversation starts with the assistant", "Add a user message before it.", code="DATA-101")
            if _empty(message):
                raise Wrong(path, f"an empty {role} message", "Add its text, or remove the row.", code="DATA-102")
            calls, results = message.get("tool_calls") or (), []
        before = role


def check_end(placed: Placed, path: str) -> None:
    """Check that a conversation ends with an assistant message.

    Raises:
        Wrong: it does not.
    """
    if not any(message["role"] == "assistant" for _, message in placed):
        raise Wrong(path, "no assistant message: there is nothing to train on", "Add the answer.", code="DATA-103")
    where, last = placed[-1]
    if last["role"] != "assistant":
        who = "a user message" if last["role"] == "user" else "a tool result"
        raise Wrong(
            where, f"the conversation ends with {who}, without an answer", "Remove the last turn, or add the answer.", code="DATA-104"
        )


def _empty(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    if content.strip() if isinstance(content, str) else content:
        return False
    return not (message["role"] == "assistant" and (message.get("tool_calls") or message.get("reasoning_content")))


def _check_result(message: Mapping[str, Any], path: str, before: str, calls: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> None:
    identity = message.get("tool_call_id")
    if not calls and (before != "assistant" or identity):  # the assistant's text may hold a call that is not parsed
        raise Wrong(path, "a tool result without a tool call before it", "Add the assistant's tool call before it.", code="DATA-105")
    known = [call["id"] for call in calls if "id" in call]
    if identity and identity not in known:
        hint = f"Ids of the tool calls before it: {', '.join(map(str, known))}." if known else "The tool calls before it have no ids."
        raise Wrong(f"{path}.tool_call_id", f"no tool call has the id {identity!r}", hint, code="DATA-106")
    if identity and identity in results:
        raise Wrong(f"{path}.tool_call_id", f"a second result of the tool call {identity!r}", "Keep one of them.", code="DATA-107")
    if len(results) >= max(len(calls), 1):
        raise Wrong(path, f"more tool results than tool calls ({len(calls)})", "Remove it, or add its tool call.", code="DATA-108")


def _check_answered(calls: Sequence[Mapping[str, Any]], results: Sequence[Any], path: str, role: str) -> None:
    if len(results) == len(calls) or results == [None]:  # one result without an id may hold the results of all calls
        return
    missing = next((call for call in calls if call.get("id") not in results), calls[-1])
    name = f"{missing['function']['name']!r}" + (f" (id {missing['id']!r})" if "id" in missing else "")
    raise Wrong(
        path,
        f"a {role} message before the result of the tool call {name}",
        "Add a tool message with the result before it.",
        code="DATA-109",
    )
