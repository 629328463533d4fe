"""Refuse rows with unread fields that would change their meaning. `data.columns` renames such fields, so that they are read or
ignored on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping

from swift_data.rows import loss_scales, thoughts
from swift_data.rows.fields import Fields
from swift_data.rows.media_marks import FIELDS
from swift_data.rows.values import Wrong

# Names of fields that change a row's meaning → the name that is read here; '' if there is none.
_ASKED: Mapping[str, str] = {"input": "", "context": "input", "history": ""}
_AROUND: Mapping[str, str] = {"system": "", "system_prompt": "system", "system_message": "system", "tools": "", "functions": ""}
_VARIABLES: Mapping[str, str] = {
    **dict.fromkeys(("chat_template_args", "template_kwargs"), "chat_template_kwargs"),
    "reasoning_effort": "",
}
_FLAG = '"loss": false'
_IN_MESSAGES = dict.fromkeys(loss_scales.FACTORS, "the factor")
_LEARNED = frozenset((*loss_scales.NAMES, *loss_scales.UNCLEAR))
_OF_TEXTS: Mapping[str, str] = dict.fromkeys(FIELDS, "")
_OF_MESSAGES: Mapping[str, str] = {**_ASKED, **_AROUND, **_VARIABLES, **dict.fromkeys(thoughts.NAMES, "")}


def refuse_lost(data: Fields, kind: str) -> None:
    """Refuse a row if one of its unread fields changes its meaning.

    Raises:
        Wrong: with the field, and a hint how to read or ignore it.
    """
    left = data.left()
    for name, value in left.items():
        if name in _LEARNED and _says_otherwise(value, name):
            before = "Remove the row, or" if kind == "text" else f"Write {_IN_MESSAGES.get(name, _FLAG)} in the messages, or"
            raise Wrong(f"$.{name}", f"'{name}' of a whole row is not supported", _left_out(name, before), code="DATA-053")
    known = {"text": _OF_TEXTS, "tagged": _OF_TEXTS, "retrieval": {**_OF_TEXTS, **_OF_MESSAGES}}.get(kind, _OF_MESSAGES)
    for name, value in left.items():
        if name in known:
            raise Wrong(
                f"$.{name}", f"'{name}' is not used in such a row and would be ignored", _read_as(name, known[name]), code="DATA-054"
            )
        if name == "objects" and isinstance(value, Mapping) and not value.keys().isdisjoint(("ref", "bbox")):
            raise Wrong(
                "$.objects", "the boxes of 'objects' would be ignored", "Write them into the texts, or remove the row.", code="DATA-055"
            )


def _says_otherwise(value: object, name: str) -> bool:
    """Return True if a value asks for another loss weight than the default: none, partial, or scaled."""
    if name in loss_scales.FLAGS:
        return str(value).lower() in (("false", "0", "no") if loss_scales.FLAGS[name] else ("true", "1", "yes"))
    if name not in loss_scales.FACTORS:
        return True
    try:
        return float(str(value)) != 1.0
    except ValueError:  # not a factor: the name of a strategy (ms-swift), or mere description
        return name != "weight"


def _read_as(name: str, ours: str) -> str:
    if not ours:
        place = "'chat_template_kwargs'" if name in _VARIABLES else "the question or the messages"
        return _left_out(name, f"Write it into {place}, or")
    return f"--data.columns '{json.dumps({name: ours})}' reads it as '{ours}'; {_left_out(name, '')}".strip()


def _left_out(name: str, before: str) -> str:
    return f"{before} rename it to ignore it: --data.columns '{json.dumps({name: f'_{name}'})}'.".strip()
