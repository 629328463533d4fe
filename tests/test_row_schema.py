"""The schema that is printed is the one that rows are read by: every example validates, and is read as the form it is called."""

from __future__ import annotations

import json

import jsonschema
import pytest
from swift_data.rows import canonical, form_of, normalise
from swift_data.rows.schema import row_schema

from swift_core.contract.roles import RawRow

KINDS = ("chat", "text", "preference", "label", "prompt")
EXAMPLES = [(kind, form["title"], row) for kind in KINDS for form in row_schema([kind])["anyOf"] for row in form["examples"]]


def validator(*kinds: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(json.dumps(row_schema(kinds)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("kind", "title", "row"), EXAMPLES)
def test_every_example_is_valid_and_read_as_what_it_is_called(kind, title, row):
    validator(kind).validate(row)
    assert form_of(row, (kind,)).name == title
    assert form_of(row, (kind,)).kind == kind
    read = normalise(RawRow(row, "rows.jsonl", 1), (kind,))
    assert type(read).__name__.removesuffix("Row").lower() == kind
    validator(kind).validate(canonical(read))
    assert normalise(RawRow(canonical(read), "rows.jsonl", 1), (kind,)) == read


@pytest.mark.parametrize("kind", KINDS)
def test_each_form_says_what_it_is(kind):
    forms = row_schema([kind])["anyOf"]
    assert forms
    for form in forms:
        assert form["title"]
        assert form["description"]
        assert form["required"]
        assert form["examples"]


def test_a_task_of_two_kinds_takes_the_forms_of_both():
    both = [form["title"] for form in row_schema(["text", "chat"])["anyOf"]]
    assert {"text", "messages", "alpaca"} <= set(both)
    assert not any("preference" in title for title in both)
    validator("text", "chat").validate({"text": "Once"})


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("chat", {"mesages": []}),
        ("chat", {"messages": [{"role": "robot", "content": "x"}]}),
        ("chat", {"messages": []}),
        ("chat", {"text": "Once"}),
        ("text", {"text": " "}),
        ("preference", {"prompt": "a", "chosen": "b"}),
        ("preference", {"instruction": "a", "output": ["b"]}),
        ("label", {"prompt": "a", "label": None}),
        ("prompt", {"solution": "42"}),
        ("chat", {"messages": [{"role": "assistant", "content": "x", "loss_scale": -1}]}),
    ],
)
def test_what_is_refused_by_both(kind, row):
    assert not validator(kind).is_valid(row)
    with pytest.raises(Exception, match=r"rows\.jsonl, row 1"):
        normalise(RawRow(row, "rows.jsonl", 1), (kind,))


def test_columns_that_a_table_leaves_empty_are_valid():
    row = {"instruction": "a", "input": None, "output": "b", "system": None, "history": None, "images": None, "tools": None}
    validator("chat").validate(row)
    normalise(RawRow(row, "rows.jsonl", 1), ("chat",))
