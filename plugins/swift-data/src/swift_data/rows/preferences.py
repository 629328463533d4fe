"""Preference rows in their usual formats: a prompt with a chosen and a rejected answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_data.rows.conversations import Message, Messages, answer_of, conversation, messages_of, with_system
from swift_data.rows.forms import PAIRS, REJECTED, base_form
from swift_data.rows.media_marks import place_media
from swift_data.rows.transcripts import is_transcript, turns_of
from swift_data.rows.turns import check_end, check_turns
from swift_data.rows.values import Wrong, text_of

_Parts = tuple[Messages, Messages, Messages]  # prompt, chosen, rejected


def preference(data: Mapping[str, Any], form: str, folder: Path | None) -> tuple[tuple[Message, ...], ...]:
    """Return the messages of the prompt, the chosen answer and the rejected answer.

    Raises:
        Wrong: one of them is missing or invalid, or the answers are equal or answer different prompts.
    """
    prompt, chosen, rejected = _SHAPES[form](data)
    place_media(data, prompt, folder)
    for answer in (chosen, rejected):
        place_media({}, answer, folder)
        check_turns([*prompt, *answer])
        check_end(answer, answer[0][0])
    parts = tuple(tuple(message for _, message in part) for part in (prompt, chosen, rejected))
    if parts[1] == parts[2]:
        raise _equal(rejected[0][0])
    return parts


def _pair(data: Mapping[str, Any]) -> _Parts:
    """Read a prompt in a separate field, with answers alone or as whole conversations that repeat the prompt."""
    asked = conversation(data, "messages" if data.get("messages") or data.get("conversations") else "prompt")
    chosen, rejected = (answer_of(_given(data, name), f"$.{name}") for name in PAIRS)
    if _is_whole(chosen) != _is_whole(rejected):
        raise Wrong(
            "$.rejected",
            "one of 'chosen' and 'rejected' is an answer, the other a conversation",
            "Write both in the same format.",
            code="DATA-073",
        )
    if not _is_whole(chosen):
        return asked, chosen, rejected
    question, spoken = ([(m["role"], m["content"]) for _, m in placed if m["role"] != "system"] for placed in (asked, chosen))
    if not (spoken[: len(question)] == question or (len(question) == 1 and question[0] in spoken)):
        raise Wrong(asked[-1][0], "the prompt differs from the one in 'chosen'", "Correct it, or remove the field.", code="DATA-074")
    return _split(data, chosen, rejected)


def _whole(data: Mapping[str, Any]) -> _Parts:
    """Read two whole conversations with a common beginning."""
    names = ("chosen_messages", "rejected_messages") if "chosen_messages" in data else PAIRS
    chosen, rejected = (_conversation(_given(data, name), f"$.{name}") for name in names)
    return _split(data, chosen, rejected)


def _conversation(value: Any, path: str) -> Messages:
    if is_transcript(value):
        return messages_of(turns_of(value), path)
    if isinstance(value, str) and not value.lstrip().startswith("["):
        raise Wrong(
            path,
            "this is an answer, but the row has no prompt",
            "Add 'prompt' or 'messages', or write whole conversations.",
            code="DATA-075",
        )
    return messages_of(value, path)


def _rejected(data: Mapping[str, Any]) -> _Parts:
    """Read a conversation with its rejected answer: text that replaces the last turn, or messages."""
    base = base_form(data)
    if base.kind != "chat":
        raise Wrong("$", "there is a rejected answer, but no chosen one", "End the conversation with the chosen answer.", code="DATA-076")
    chosen = conversation(data, base.name)
    check_end(chosen, "$")
    name = next(name for name in REJECTED if data.get(name) is not None)
    rejected = answer_of(data[name], f"$.{name}")
    if _is_whole(rejected):
        has_own = rejected[0][1]["role"] == "system"
        return _split({}, chosen, rejected if has_own else with_system(data, rejected))
    asked = max((place for place, (_, message) in enumerate(chosen) if message["role"] == "user"), default=-1) + 1
    border = len(chosen) - 1 if len(rejected) == 1 else asked
    return chosen[:border], chosen[border:], rejected


def _outputs(data: Mapping[str, Any]) -> _Parts:
    """Read LLaMA-Factory's former format: `output` is [chosen, rejected]."""
    given = data["output"]
    if len(given) != 2:
        raise Wrong("$.output", f"must be [chosen, rejected], not {len(given)} texts", code="DATA-077")
    chosen, rejected = (answer_of(text_of(text, f"$.output[{place}]"), f"$.output[{place}]") for place, text in enumerate(given))
    return conversation(data, "prompt"), chosen, rejected


_SHAPES: Mapping[str, Callable[[Mapping[str, Any]], _Parts]] = {
    "preference-pair": _pair,
    "preference-messages": _whole,
    "preference-rejected": _rejected,
    "preference-outputs": _outputs,
}


def _given(data: Mapping[str, Any], name: str) -> Any:
    value = data.get(name)
    if value is None:
        raise Wrong(
            "$", f"'{name}' is missing: a preference needs a chosen and a rejected answer", "Add it, or remove the row.", code="DATA-078"
        )
    return value


def _is_whole(answer: Messages) -> bool:
    return answer[0][1]["role"] in ("system", "user")


def _split(data: Mapping[str, Any], chosen: Messages, rejected: Messages) -> _Parts:
    """Split two conversations where they begin to differ, which must be at an answer."""
    same = 0
    for (_, one), (_, other) in zip(chosen, rejected, strict=False):
        if one != other:
            break
        same += 1
    if same == len(chosen) == len(rejected):
        raise _equal(rejected[0][0])
    for answer in (chosen, rejected):
        if same == len(answer):
            raise Wrong(
                answer[-1][0], "one of the two conversations is only the beginning of the other", "Add its answer.", code="DATA-079"
            )
        if answer[same][1]["role"] != "assistant":
            raise Wrong(
                answer[same][0],
                "the chosen and the rejected conversation differ before an answer",
                "Both answer the same prompt.",
                code="DATA-080",
            )
    return with_system(data, chosen[:same]), chosen[same:], rejected[same:]


def _equal(path: str) -> Wrong:
    return Wrong(path, "the chosen and the rejected answer are equal", "Remove the row.", code="DATA-081")
