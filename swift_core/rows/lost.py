"""Fields of a row that are known to change what it means, refused if nobody has read them: the row would be learned otherwise than it was
meant. Under another name (`data.columns`) they are read, or left out on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping

from swift_core.rows import loss_scales, thoughts
from swift_core.rows.fields import Fields
from swift_core.rows.media_marks import FIELDS
from swift_core.rows.values import Wrong

# What a field is, by its name → the name here; '' if there is none.
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
    """Refuse a row of which something would be lost.

    Raises:
        Wrong: with the field, and how to say what is meant.
    """
    left = data.left()
    for name, value in left.items():
        if name in _LEARNED and _says_otherwise(value, name):
            before = "Remove the row, or" if kind == "text" else f"Write {_IN_MESSAGES.get(name, _FLAG)} in the messages, or"
            raise Wrong(f"$.{name}", f"'{name}' of a whole row is not read", _left_out(name, before))
    known = _OF_TEXTS if kind == "text" else _OF_MESSAGES
    for name, value in left.items():
        if name in known:
            raise Wrong(f"$.{name}", f"'{name}' is not read in such a row, and would be lost", _read_as(name, known[name]))
        if name == "objects" and isinstance(value, Mapping) and not value.keys().isdisjoint(("ref", "bbox")):
            raise Wrong("$.objects", "boxes of 'objects' are not read, and would be lost", "Write them into the texts, or remove the row.")


def _says_otherwise(value: object, name: str) -> bool:
    """Whether a value says that the row is learned otherwise than usual: not, in part, or more than others."""
    if name in loss_scales.FLAGS:
        return str(value).lower() in (("false", "0", "no") if loss_scales.FLAGS[name] else ("true", "1", "yes"))
    if name not in loss_scales.FACTORS:
        return True
    try:
        return float(str(value)) != 1.0
    except ValueError:  # a word, or something else that is no factor: of a strategy (ms-swift's), or it only describes
        return name != "weight"


def _read_as(name: str, ours: str) -> str:
    if not ours:
        place = "'chat_template_kwargs'" if name in _VARIABLES else "the question or the messages"
        return _left_out(name, f"Write it into {place}, or")
    return f"--data.columns '{json.dumps({name: ours})}' reads it as '{ours}'; {_left_out(name, '')}".strip()


def _left_out(name: str, before: str) -> str:
    return f"{before} leave it out under another name: --data.columns '{json.dumps({name: f'_{name}'})}'.".strip()
