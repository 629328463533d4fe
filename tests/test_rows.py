"""Rows in every form in use → chat and text rows; what is wrong is refused with file, row and path."""

from __future__ import annotations

import pytest

from swift_core.roles import RawRow
from swift_core.rows import ChatRow, RowError, TextRow, form_of, normalise

QUESTION = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
CALL = {"type": "function", "function": {"name": "search", "arguments": {"q": "x"}}}


def chat(data, wanted=("chat",)) -> ChatRow:
    return normalise(RawRow(data, "rows.jsonl", 7), wanted)


def refused(data, wanted=("chat",)) -> RowError:
    with pytest.raises(RowError) as caught:
        normalise(RawRow(data, "rows.jsonl", 7), wanted)
    assert caught.value.where.startswith("rows.jsonl, row 7, $")
    return caught.value


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("messages", {"messages": [QUESTION, ANSWER]}),
        ("messages", {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'}),
        ("messages", {"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}),
        ("conversations", {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "tools": ""}),
        ("conversations", {"conversations": [QUESTION, ANSWER], "messages": None}),
        ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello", "system": "", "history": None}),
        ("alpaca", {"instruction": "", "input": "Hi", "output": "Hello"}),
        ("query-response", {"query": "Hi", "response": "Hello"}),
        ("prompt-completion", {"prompt": "Hi", "completion": "Hello"}),
        ("prompt-completion", {"prompt": [QUESTION], "completion": [ANSWER]}),
    ],
)
def test_every_form_of_one_conversation(name, data):
    assert form_of(data).name == name
    assert chat(data) == ChatRow((QUESTION, ANSWER))


def test_instruction_and_input_are_two_lines_of_one_question():
    row = chat({"instruction": "Translate.", "input": "Hi", "output": "Salut", "system": "Be brief.", "history": [["a", "b"], ["c", "d"]]})
    assert [message["role"] for message in row.messages] == ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert [message["content"] for message in row.messages] == ["Be brief.", "a", "b", "c", "d", "Translate.\nHi", "Salut"]


def test_what_a_message_carries_besides_is_kept():
    given = {**ANSWER, "name": "Bo", "mood": None}
    assert chat({"messages": [QUESTION, given]}).messages[1] == {**ANSWER, "name": "Bo"}


def test_tool_calls_in_every_spelling():
    expected = (QUESTION, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "found"}, ANSWER)
    text = '{"name": "search", "arguments": {"q": "x"}}'
    sharegpt = [{"from": "function_call", "value": text}, {"from": "observation", "value": "found"}, {"from": "gpt", "value": "Hello"}]
    ms_swift = [{"role": "tool_call", "content": text}, {"role": "tool_response", "content": "found"}, ANSWER]
    openai = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}],
        },
        {"role": "tool", "content": "found"},
        ANSWER,
    ]
    for messages in (sharegpt, ms_swift, openai):
        assert chat({"conversations": [QUESTION, *messages]}).messages == expected
    several = chat({"conversations": [QUESTION, {"from": "function_call", "value": f"[{text}, {text}]"}]})
    assert several.messages[1]["tool_calls"] == [CALL, CALL]


def test_the_id_of_a_tool_call_is_kept():
    call = {"role": "assistant", "tool_calls": [{**CALL, "id": "c1"}]}
    row = chat({"messages": [QUESTION, call, {"role": "tool", "content": "x", "tool_call_id": "c1"}, ANSWER]})
    assert row.messages[1]["tool_calls"][0]["id"] == row.messages[2]["tool_call_id"] == "c1"


def test_tools_bare_wrapped_and_as_text():
    bare = {"name": "search", "parameters": {}}
    for tools in ([bare], [{"type": "function", "function": bare}], '[{"name": "search", "parameters": {}}]'):
        assert chat({"messages": [QUESTION, ANSWER], "tools": tools}).tools == ({"type": "function", "function": bare},)
    assert chat({"messages": [QUESTION, ANSWER], "tools": "[]"}).tools is None


def test_text():
    assert form_of({"text": "Once"}).kind == "text"
    assert chat({"text": "Once"}, ("text",)) == TextRow("Once")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"messages": [QUESTION], "chosen": ANSWER, "rejected": ANSWER}, "preference"),
        ({"messages": [QUESTION, ANSWER], "rejected_response": "No"}, "preference"),
        ({"messages": [QUESTION, ANSWER], "label": True}, "label"),
        ({"prompt": "a", "completion": "b", "label": "false"}, "label"),
        ({"instruction": "a", "output": "b", "kto_tag": False}, "label"),
        ({"prompt": "a"}, "prompt"),
    ],
)
def test_other_kinds_are_known_by_name(data, kind):
    error = refused(data)
    assert f"this is a {kind} row" in error.message
    assert "but chat rows are wanted" in error.message
    assert error.hint


def test_a_label_that_is_a_word_is_only_a_column():
    assert form_of({"instruction": "a", "output": "b", "label": "sport"}).name == "alpaca"


def test_chat_for_a_task_of_text_and_text_for_a_task_of_chat():
    error = refused({"messages": [QUESTION, ANSWER]}, ("text",))
    assert "text rows are wanted" in error.message
    assert "swift sft" in error.hint
    error = refused({"text": "Once"})
    assert "swift pretrain" in error.hint
    assert chat({"text": "Once"}, ("text", "chat")) == TextRow("Once")


@pytest.mark.parametrize(
    ("data", "path", "message", "hint"),
    [
        (
            {"messages": [QUESTION, {"role": "asistant", "content": "x"}]},
            "$.messages[1].role",
            "unknown role 'asistant'",
            "Did you mean 'assistant'?",
        ),
        ({"messages": [{"role": 3, "content": "x"}]}, "$.messages[0].role", "unknown role 3", "Known: system"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, "$.conversations[0].from", "unknown role 'robot'", "human, gpt"),
        ({"messages": []}, "$.messages", "an empty conversation", "Remove the row"),
        ({"messages": [QUESTION]}, "$.messages", "no assistant message", "Add the answer"),
        ({"messages": {"role": "user"}}, "$.messages", "must be a list of messages, not an object", ""),
        ({"messages": ["Hi"]}, "$.messages[0]", "a message must be an object, not text", "role"),
        ({"messages": "Hi"}, "$.messages", "not JSON", "It reads: 'Hi'"),
        ({"messages": [{"rol": "user", "content": "x"}]}, "$.messages[0]", "needs 'role' and 'content'", "Did you mean 'role'?"),
        ({"messages": [{"role": "user", "contents": "x"}]}, "$.messages[0]", "a message needs 'content'", "Did you mean 'contents'?"),
        ({"messages": [{"role": "user", "content": None}, ANSWER]}, "$.messages[0].content", "must be text, not null", ""),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}, ANSWER]},
            "$.messages[0].content",
            "the image has no source",
            "images",
        ),
        ({"conversations": [{"from": "gpt", "value": 4}]}, "$.conversations[0].value", "must be text, not a number", ""),
        ({"conversations": [{"from": "function_call", "value": "search(x)"}]}, "$.conversations[0].value", "not JSON", "search(x)"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "$.messages[0].tool_calls[0]", "needs a name", ""),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[]x"}]}]},
            "$.messages[0].tool_calls[0].arguments",
            "not JSON",
            "",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}]},
            "$.messages[0].tool_calls[0].arguments",
            "not a list",
            "",
        ),
        ({"messages": [QUESTION, ANSWER], "tools": {"name": "f"}}, "$.tools", "must be a list of tools", ""),
        ({"messages": [QUESTION, ANSWER], "tools": [{"nam": "f"}]}, "$.tools[0]", "a tool needs a name", ""),
        ({"messages": [{"role": "system", "content": "a"}, ANSWER], "system": "b"}, "$.system", "two system prompts", "one of them"),
        ({"instruction": "a", "output": 3}, "$.output", "must be text, not a number", ""),
        ({"instruction": "a", "output": None}, "$.output", "must be text, not null", ""),
        ({"instruction": "a", "input": True, "output": "b"}, "$.input", "not true or false", ""),
        ({"query": "a", "response": "b", "history": [["c"]]}, "$.history[0]", "must be a pair", ""),
        ({"query": "a", "response": "b", "history": [["c", 1]]}, "$.history[0][1]", "must be text", ""),
        ({"mesages": [QUESTION]}, "$", "no known form", "messages; conversations"),
        ({}, "$", "its fields (none)", ""),
        (["a"], "$", "a row must be an object with named fields, not a list", ""),
    ],
)
def test_what_is_wrong_and_where(data, path, message, hint):
    error = refused(data)
    assert error.where == f"rows.jsonl, row 7, {path}"
    assert message in error.message
    assert hint in error.hint


def test_misspelt_fields_are_answered():
    assert "Did you mean 'messages'?" in refused({"mesages": []}).message


def test_a_text_that_is_none():
    assert refused({"text": None}, ("text",)).where.endswith("$.text")
