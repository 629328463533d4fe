"""Every field of a row is read, refused by name, or listed as unread: nothing is lost without a word."""

from __future__ import annotations

import json

import pytest
from swift_data.rows import canonical, normalise

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import RawRow

ASK, SAY = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
CALL = {"name": "tide", "arguments": {"harbour": "Brest"}}
TOOL = {"name": "tide", "description": "Height", "parameters": {}}


def read(data, *accepted):
    row = normalise(RawRow(data, "rows.jsonl", 7), accepted or ("chat",))
    again = RawRow(json.loads(json.dumps(canonical(row))), "rows.jsonl", 7)
    assert normalise(again, accepted or ("chat",)) == row
    return row


def refused(data, *accepted):
    with pytest.raises(UsageError) as caught:
        normalise(RawRow(data, "rows.jsonl", 7), accepted or ("chat",))
    assert caught.value.where.startswith("rows.jsonl, row 7, $")
    assert caught.value.hint
    return caught.value


def said(**fields):
    return read({"messages": [ASK, {**SAY, **fields}]}).messages[1]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought", "thoughts", "think"])
def test_a_thought_has_one_name(name):
    assert said(**{name: "So."}) == {**SAY, "reasoning_content": "So."}
    assert said(**{name: ""}) == said(**{name: None}) == SAY
    assert read({"prompt": "Hi", "completion": "Hello", name: "So."}).messages[1] == {**SAY, "reasoning_content": "So."}
    assert refused({"messages": [{**ASK, name: "So."}, SAY]}).where.endswith("$.messages[0]")
    assert refused({"messages": [ASK, {**SAY, name: {"text": "So."}}]}).where.endswith(f"$.messages[1].{name}")
    assert refused({"messages": [ASK, SAY], name: "So."}).where.endswith(f"$.{name}")


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": "<think>\nA\n</think>\n\n42", "reasoning_content": "B"},
        {"role": "assistant", "content": "42", "reasoning": "A", "thinking": "B"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "A"}, {"type": "text", "text": "42"}], "thought": "B"},
    ],
)
def test_two_thoughts_are_refused(turn):
    assert "given twice" in refused({"messages": [ASK, turn]}).message


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        ({"train": False}, 0.0),
        ({"training": False}, 0.0),
        ({"trainable": True}, None),
        ({"masked": True}, 0.0),
        ({"masked": False}, None),
        ({"weight": 0, "train": False}, 0.0),
        ({"train": None}, None),
        ({"train_detail": [], "mask": None}, None),
    ],
)
def test_flags_of_other_tools_on_a_turn(given, scale):
    assert said(**given) == (SAY if scale is None else {**SAY, "loss_scale": scale})


@pytest.mark.parametrize(
    "given", [{"mask": 1}, {"loss_mask": [0, 1]}, {"train_detail": [{"begin_offset": 0, "end_offset": 3}]}, {"train": "no"}]
)
def test_flags_that_tell_no_one_thing_are_refused(given):
    assert refused({"messages": [ASK, {**SAY, **given}]}).where.endswith(f"$.messages[1].{next(iter(given))}")


def test_flags_that_contradict_each_other_or_stand_elsewhere():
    assert "contradicts" in refused({"messages": [ASK, {**SAY, "train": True, "masked": True}]}).message
    part = {"type": "text", "text": "Hello", "train": False}
    assert refused({"messages": [ASK, {"role": "assistant", "content": [part]}]}).where.endswith("content[0].train")
    for row in ({"weight": 0}, {"loss": False}, {"train": False}, {"mask": "User"}, {"masked": True}):
        assert refused({"messages": [ASK, SAY], **row}).where.endswith(f"$.{next(iter(row))}")
    assert read({"messages": [ASK, SAY], "weight": 1.0, "train": True}).unread == ("weight", "train")


def test_calls_of_openais_first_kind():
    row = read({"messages": [ASK, {**SAY, "function_call": {"name": "tide", "arguments": '{"harbour": "Brest"}'}}], "functions": [TOOL]})
    assert row.messages[1]["tool_calls"] == [{"type": "function", "function": CALL}]
    assert row.messages[1]["content"] == "Hello"
    assert row.tools == ({"type": "function", "function": TOOL},)
    assert row.unread == ()
    turns = [
        ASK,
        {"role": "assistant", "content": None, "function_call": CALL},
        {"role": "function", "name": "tide", "content": "2 m"},
        SAY,
    ]
    assert [message["role"] for message in read({"messages": turns, "functions": [TOOL]}).messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert "twice" in refused({"messages": [ASK, SAY], "functions": [TOOL], "tools": [TOOL]}).message
    assert "twice" in refused({"messages": [ASK, {**SAY, "function_call": CALL, "tool_calls": [CALL]}]}).message


@pytest.mark.parametrize("key", ["arguments", "input", "parameters", "args"])
def test_a_calls_arguments_are_never_lost(key):
    turn = {**SAY, "tool_calls": [{"name": "tide", key: {"harbour": "Brest"}}]}
    assert read({"messages": [ASK, turn]}).messages[1]["tool_calls"][0]["function"] == CALL
    if key != "arguments":
        turn["tool_calls"][0]["arguments"] = {"harbour": "Brest"}
        assert "twice" in refused({"messages": [ASK, turn]}).message


def test_a_rows_own_variables_of_the_template():
    assert read({"messages": [ASK, SAY], "chat_template_kwargs": {"enable_thinking": False}}).variables == {"enable_thinking": False}
    assert read({"messages": [ASK, SAY], "enable_thinking": "false", "chat_template_kwargs": '{"a": 1}'}).variables == {
        "a": 1,
        "enable_thinking": False,
    }
    for wrong in ({"enable_thinking": "maybe"}, {"chat_template_kwargs": [1]}, {"chat_template_kwargs": {"tools": []}}):
        refused({"messages": [ASK, SAY], **wrong})
    refused({"messages": [ASK, SAY], "enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}})


@pytest.mark.parametrize(
    ("row", "typed"),
    [
        ({"instruction": "When?", "context": "In 1931.", "output": "1931"}, '{"context": "input"}'),
        ({"prompt": [ASK], "input": "In 1931.", "completion": "1931"}, '{"input": "_input"}'),
        ({"messages": [ASK, SAY], "system_prompt": "Be brief."}, '{"system_prompt": "system"}'),
        ({"messages": [ASK, SAY], "history": [["a", "b"]]}, '{"history": "_history"}'),
    ],
)
def test_what_changes_a_row_is_refused_with_what_to_type(row, typed):
    assert f"--data.columns '{typed}'" in refused(row).hint
    renamed = json.loads(typed)
    if not next(iter(renamed.values())).startswith("_"):
        assert read({renamed.get(key, key): value for key, value in row.items()}).unread == ()


def test_an_input_belongs_to_any_question():
    assert read({"query": "Sum up.", "input": "It rained.", "response": "Rain."}).messages[0]["content"] == "Sum up.\nIt rained."


def test_fields_in_the_wrong_place_are_refused():
    assert refused({"messages": [{**ASK, "images": ["a.png"]}, SAY]}).where.endswith("$.messages[0].images")
    assert refused({"messages": [{"role": "system", "content": "x", "tools": [TOOL]}, ASK, SAY]}).where.endswith("$.messages[0].tools")
    assert refused({"messages": [{"from": "human", "value": "a", "content": "b"}, SAY]}).where.endswith(".content")
    assert refused({"messages": [{**ASK, "value": "b"}, SAY]}).where.endswith(".value")
    assert read({"messages": [{**ASK, "value": "Hi"}, SAY]}).messages[0] == ASK
    assert refused({"text": "A boat.", "images": ["a.png"]}, "text").where.endswith("$.images")
    assert "boxes" in refused({"messages": [ASK, SAY], "objects": {"bbox": [[1, 2, 3, 4]]}}).message


def test_all_that_nobody_reads_is_listed():
    part = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    call = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": {}, "strict": True}, "index": 0, "note": "x"}
    messages = [{"role": "user", "content": [part]}, {**SAY, "mood": "calm", "refusal": None, "tool_calls": [call]}]
    row = read({"messages": messages, "id": 3, "colour": "red", "empty": "", "none": None})
    assert row.unread == (
        "id",
        "colour",
        "messages[].content[].cache_control",
        "messages[].mood",
        "messages[].tool_calls[].note",
        "messages[].tool_calls[].function.strict",
    )
    assert read({"messages": json.dumps([ASK, {**SAY, "mood": "calm"}])}).unread == ("messages[].mood",)
    assert read({"text": "Once", "messages": [ASK, SAY], "n": 1}, "text").unread == ("messages", "n")
    assert read({"messages": [ASK, SAY], "instruction": "Hi", "output": "Hello"}).unread == ("instruction", "output")
    assert read({"messages": [ASK], "solution": "x"}, "prompt").unread == ()
    pair = {"prompt": "Hi", "chosen": {**SAY, "mood": "x"}, "rejected": "No", "margin": 3}
    assert read(pair, "preference").unread == ("margin", "chosen[].mood")


def test_transcripts_of_hh_rlhf():
    text = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: More:\n\n1. this\n\nAssistant: "
    row = read({"chosen": f"{text}Gladly.", "rejected": f"{text}No."}, "preference")
    assert [message["role"] for message in row.prompt] == ["user", "assistant", "user"]
    assert row.prompt[2]["content"] == "More:\n\n1. this"
    assert (row.chosen[0]["content"], row.rejected[0]["content"]) == ("Gladly.", "No.")
    assert "an empty assistant message" in refused({"chosen": text, "rejected": f"{text}No."}, "preference").message


@pytest.mark.parametrize(
    ("row", "accepted", "typed"),
    [
        ({"conversation": [ASK, SAY]}, "chat", '{"conversation": "messages"}'),
        ({"dialogue": [{"from": "human", "value": "Hi"}]}, "chat", '{"dialogue": "messages"}'),
        ({"prompt": "Hi", "completions": "Hello"}, "chat", '{"completions": "completion"}'),
        ({"input": "Hi", "target": "Hello"}, "chat", '{"input": "query", "target": "response"}'),
        ({"content": "Once."}, "text", '{"content": "text"}'),
    ],
)
def test_other_names_of_a_form_are_answered_with_what_to_type(row, accepted, typed):
    assert f"--data.columns '{typed}'" in refused(row, accepted).hint


@pytest.mark.parametrize(
    "row",
    [
        {"weight": 0.5},
        {"loss_scale": "0"},
        {"train": 0},
        {"loss": "false"},
        {"masked": 1},
        {"loss_weight": 2},
        {"loss_scale": "last_round"},
    ],
)
def test_a_weight_of_a_whole_row_is_refused_however_it_is_written(row):
    assert refused({"messages": [ASK, SAY], **row}).where.endswith(f"$.{next(iter(row))}")
    assert refused({"text": "Hello", **row}, "text").where.endswith(f"$.{next(iter(row))}")


def test_a_number_that_is_no_flag_describes_a_row():
    assert read({"text": "Hello", "loss": 0.73, "weight": "heavy"}, "text").unread == ("loss", "weight")


@pytest.mark.parametrize("name", ["template_kwargs", "reasoning_effort"])
def test_variables_under_other_names_are_refused(name):
    assert "chat_template_kwargs" in refused({"messages": [ASK, SAY], name: {"reasoning_effort": "high"}}).hint


@pytest.mark.parametrize("call", [{"name": "tide", "kwargs": {"harbour": "Brest"}}, {"function": {"name": "tide"}, "arguments": {"x": 1}}])
def test_arguments_in_other_places_are_refused(call):
    for turn in ({**SAY, "function_call": call}, {**SAY, "tool_calls": [call]}, {"role": "function_call", "content": json.dumps(call)}):
        assert refused({"messages": [ASK, turn]}).where.endswith(list(call)[1])


SCHEMA = {"type": "object", "properties": {"harbour": {"type": "string"}}}
WHOLE = ({"type": "function", "function": {"name": "tide", "parameters": SCHEMA}},)


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "tide", "inputSchema": SCHEMA},
        {"name": "tide", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}},
        {"type": "function", "name": "tide", "parameters": SCHEMA, "description": None},
        {"function": {"name": "tide", "parameters": json.dumps(SCHEMA)}},
        {"name": "tide", "parameters": {**SCHEMA, "properties": {**SCHEMA["properties"], "absent": None}}},
    ],
)
def test_the_parameters_of_tools_in_every_spelling(tool):
    assert read({"messages": [ASK, SAY], "tools": [tool]}).tools == WHOLE


@pytest.mark.parametrize("tool", [{"name": "tide", "fields": SCHEMA}, {"name": "tide", "parameters": SCHEMA, "inputSchema": SCHEMA}])
def test_the_parameters_of_tools_are_never_lost(tool):
    assert refused({"messages": [ASK, SAY], "tools": [tool]}).where.endswith(list(tool)[-1])


def test_what_only_tools_messages_are_read_for():
    row = read({"messages": [{**ASK, "name": "Ada"}, {**SAY, "name": "tutor"}]})
    assert row.unread == ("messages[].name",)
    called = [
        ASK,
        {"role": "assistant", "content": None, "function_call": CALL},
        {"role": "function", "name": "tide", "content": "2 m"},
        SAY,
    ]
    assert read({"messages": called}).unread == ()


def test_a_switch_is_no_thought():
    """Nemotron's rows: a conversation, its answer, and whether it was thought about."""
    row = {"input": [ASK], "output": "Hello", "reasoning": "on"}
    assert '{"input": "prompt", "output": "completion"}' in refused(row).hint
    pair = {"prompt": [ASK], "completion": "Hello"}
    assert '{"reasoning": "enable_thinking"}' in refused({**pair, "reasoning": "on"}).hint
    assert [read({**pair, "enable_thinking": word}).variables["enable_thinking"] for word in ("on", "off", True)] == [True, False, True]
