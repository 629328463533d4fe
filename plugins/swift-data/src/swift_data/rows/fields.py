"""Unread fields of a row: every field is either read or reported.

Access to a row's own fields is recorded (`Fields`); the fields of messages, content parts and tool calls are compared with what their
readers declare (`READ` of each). Unread fields are reported by their path, without indices: `messages[].mood`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swift_data.rows import contents, conversations, tool_calls
from swift_data.rows.values import Wrong, decoded

_DESCRIBING = """
id ids idx index uid uuid row row_id row_index question_id conversation_id conv_id prompt_id message_id doc_id source sources origin
category categories subcategory dataset dataset_name subset split config lang language languages topic topics tag tags keywords title
url link domain subject task task_type task_name type kind difficulty level score scores quality rating rank length num_tokens
token_count num_turns turns tokens model model_name generator annotator author user user_id created created_at created_utc updated_at
date time timestamp version license licence hash md5 sha256 meta metadata info extra comment comments notes file filename file_name
path text_length cache_control signature citations annotations
"""
METADATA = frozenset(_DESCRIBING.split())
_OF_TOOLS = {"name", "tool_call_id", "is_error"}  # read from messages with the role "tool" only
_ANSWERS = ("completion", "response", "output", "chosen", "rejected", "chosen_messages", "rejected_messages", "rejected_response")
_MESSAGES = ("messages", "conversations", "prompt", *_ANSWERS)


class Fields(Mapping[str, Any]):
    """A row's fields; `taken` are the names of those whose value was read."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data, self.taken = data, set[str]()

    def __getitem__(self, key: str) -> Any:
        self.taken.add(key)
        return self._data[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a field, or `default`, like dict.get."""
        self.taken.add(key)
        return self._data.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def left(self) -> dict[str, Any]:
        """Return the fields with a non-empty value that was not read."""
        return {key: value for key, value in self._data.items() if key not in self.taken and not is_empty(value)}

    def unread(self) -> tuple[str, ...]:
        """Return the paths of all unread fields of the row, its messages, their parts and their tool calls."""
        found = [str(key) for key in self.left()]
        for name in _MESSAGES:
            value = self._data.get(name) if name in self.taken else None
            if value is not None and not _plain_text(value):
                found += list(dict.fromkeys(_of_messages(_items(value), name)))
        return tuple(found)


def is_empty(value: Any) -> bool:
    """Return True for null, and for an empty text, list or object."""
    return value is None or (isinstance(value, str | list | tuple | Mapping) and not value)


def is_metadata(path: str) -> bool:
    """Return True for a field that only describes a row (id, source, …), so that ignoring it loses no training data."""
    name = path.rpartition(".")[2].lower()
    return name in METADATA or name.startswith("_") or name.endswith(("_id", "_ids", "_idx", "_uuid", "_url", "_hash"))


def _plain_text(value: Any) -> bool:
    return isinstance(value, str) and not value.lstrip().startswith(("[", "{"))


def _items(value: Any) -> list[Any]:
    try:
        found = decoded(value, "")
    except Wrong:  # text that merely begins like JSON
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _of_messages(messages: Iterable[Any], name: str) -> Iterator[str]:
    for message in messages:
        if _is_plain(message) or not isinstance(message, Mapping):
            continue
        read = conversations.READ if _is_a_tools(message) else conversations.READ - _OF_TOOLS
        yield from (f"{name}[].{key}" for key, value in message.items() if key not in read and not is_empty(value))
        for key in ("content", "value"):
            if isinstance(parts := message.get(key), list | tuple):
                yield from _of_parts(parts, f"{name}[].{key}[]")
        if calls := message.get("tool_calls"):
            yield from _of_calls(_items(calls), f"{name}[].tool_calls[]")


def _is_a_tools(message: Mapping[str, Any]) -> bool:
    return conversations.ROLES.get(str(message.get("from", message.get("role")))) == "tool"


def _is_plain(message: Any) -> bool:
    """Return True for a message that has only a role and a text."""
    return type(message) is dict and message.keys() in conversations.PLAIN and isinstance(message.get("content", message.get("value")), str)


def _of_parts(parts: Iterable[Any], path: str) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Mapping):
            read = contents.READ.get(str(part.get("type")), ())
            yield from (f"{path}.{key}" for key, value in part.items() if key not in read and not is_empty(value))


def _of_calls(calls: Iterable[Any], path: str) -> Iterator[str]:
    for call in calls:
        if not isinstance(call, Mapping):
            continue
        function = call.get("function", call)
        read = tool_calls.READ if function is call else ("id", "type", "index", "function")
        yield from (f"{path}.{key}" for key, value in call.items() if key not in read and not is_empty(value))
        if function is not call and isinstance(function, Mapping):
            yield from (f"{path}.function.{key}" for key, value in function.items() if key not in tool_calls.READ and not is_empty(value))
