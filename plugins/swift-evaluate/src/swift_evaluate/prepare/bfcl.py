"""BFCL (Berkeley Function-Calling Leaderboard), single turn, as rows of `own-data`; questions and possible answers are separate files.

`BFCL_v3_simple.json` has the questions with their functions, `possible_answer/BFCL_v3_simple.json` the calls that are right; questions of
the categories `irrelevance` have no right call.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_evaluate.prepare.source import SourceRow, stem_of

ANSWERS = "possible_answer"  # the folder of the files with answers, and their split while they are read
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": ""}  # BFCL's names → those of JSON Schema

Places = dict[tuple[str, str], dict[str, dict[str, Any]]]  # subset and split → id → row


def place(file: Path) -> tuple[str, str]:
    """Return the category of a file, and whether it has questions or answers."""
    category = stem_of(file).removeprefix("BFCL_").partition("_")[2] or stem_of(file)
    return category, ANSWERS if file.parent.name == ANSWERS else "test"


def convert(row: SourceRow, _subset: str) -> dict[str, Any]:
    """Return a row with its conversation and tools, or with the accepted calls.

    Raises:
        UsageError: the row is neither, or has several turns.
    """
    if "ground_truth" in row.data:
        return {"tool_calls": [_accepted(row, call) for call in row.data["ground_truth"]]}
    turns, functions = row.value("question"), row.value("function")
    if not isinstance(turns, list) or len(turns) != 1 or not isinstance(turns[0], list):
        raise row.error("the question must have one turn", "Prepare the single-turn categories: simple, multiple, parallel, irrelevance, …")
    if not isinstance(functions, list):
        raise row.error("'function' must be a list")
    tools = [
        {"type": "function", "function": {**each, "name": _name(each["name"]), "parameters": _schema(each["parameters"])}}
        for each in functions
    ]
    return {"messages": turns[0], "tools": tools}


def join(places: Places) -> Places:
    """Return the questions with their answers.

    Raises:
        UsageError: a question has none, and is not of a category without right calls.
    """
    found: Places = {}
    for (subset, split), rows in places.items():
        if split == ANSWERS:
            continue
        answers = places.get((subset, ANSWERS), {})
        for id, row in rows.items():
            if id not in answers and "irrelevance" not in subset:
                hint = f"Add the file {ANSWERS}/BFCL_…_{subset}.json with --from."
                raise UsageError(f"the question '{id}' has no possible answer", code="EVAL-121", where=f"--from ({subset})", hint=hint)
            found.setdefault((subset, split), {})[id] = {**row, "tool_calls": answers.get(id, {}).get("tool_calls", [])}
    return found


def _accepted(row: SourceRow, call: Any) -> dict[str, Any]:
    if not isinstance(call, Mapping) or len(call) != 1 or not isinstance(arguments := next(iter(call.values())), Mapping):
        raise row.error("a call of ground_truth must be {name: {argument: [accepted values]}}")
    return {"name": _name(next(iter(call))), "accepted": dict(arguments)}


def _name(name: str) -> str:
    """Return a name that OpenAI's protocol allows; as BFCL does, with `_` for `.`."""
    return name.replace(".", "_")


def _schema(value: Any) -> Any:
    """Return a schema with the types of JSON Schema."""
    if isinstance(value, Mapping):
        found = {key: _schema(item) for key, item in value.items() if key != "type"}
        kind = value.get("type")
        if not isinstance(kind, str):
            return found if kind is None else {"type": _schema(kind), **found}
        kind = _TYPES.get(kind, kind)
        return {"type": kind, **found} if kind else found
    return [_schema(item) for item in value] if isinstance(value, list) else value
