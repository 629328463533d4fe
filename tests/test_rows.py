"""Rows in every form in use → chat and text rows; what is wrong is refused with file, row and path."""

from __future__ import annotations

import json

import pytest
from swift_data.rows import ChatRow, LabelRow, PreferenceRow, PromptRow, RowError, TextRow, canonical, form_of, normalise

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import RawRow

QUESTION = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
CALL = {"type": "function", "function": {"name": "search", "arguments": {"q": "x"}}}


def chat(data, accepted=("chat",)) -> ChatRow:
    row = normalise(RawRow(data, "rows.jsonl", 7), accepted)
    again = RawRow(json.loads(json.dumps(canonical(row))), "rows.jsonl", 7)
    assert normalise(again, accepted) == row
    return row


def refused(data, accepted=("chat",)) -> RowError:
    with pytest.raises(RowError) as caught:
        normalise(RawRow(data, "rows.jsonl", 7), accepted)
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
    assert "but chat rows are expected" in error.message
    assert error.hint


def test_a_label_that_is_a_word_is_only_a_column():
    assert form_of({"instruction": "a", "output": "b", "label": "sport"}).name == "alpaca"


def test_chat_for_a_task_of_text_and_text_for_a_task_of_chat():
    error = refused({"messages": [QUESTION, ANSWER]}, ("text",))
    assert "text rows are expected" in error.message
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
        ({"messages": []}, "$.messages", "conversation is empty", "Remove the row"),
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
        ({"mesages": [QUESTION]}, "$", "no known row format", '{"mesages": "messages"}'),
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


NO = {"role": "assistant", "content": "No"}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
FOUND = {"role": "tool", "content": "found"}


def with_id(identity: str) -> dict:
    return {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": identity}]}


def test_blocks_of_anthropic():
    row = chat(
        {
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Look it up.", "signature": "…"},
                        {"type": "text", "text": "A moment."},
                        {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "x"}},
                        {"type": "tool_use", "id": "t2", "name": "search", "input": {"q": "x"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Well?"},
                        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
                        {"type": "tool_result", "tool_use_id": "t2", "content": "lost", "is_error": True},
                    ],
                },
                ANSWER,
            ],
            "tools": [{"name": "search", "description": "d", "input_schema": {"type": "object"}}],
        }
    )
    calls = [{**CALL, "id": "t1"}, {**CALL, "id": "t2"}]
    assert row.messages == (
        {"role": "system", "content": "Be brief."},
        QUESTION,
        {"role": "assistant", "content": "A moment.", "reasoning_content": "Look it up.", "tool_calls": calls},
        {**FOUND, "tool_call_id": "t1"},
        {"role": "tool", "content": "lost", "tool_call_id": "t2", "is_error": True},
        {"role": "user", "content": "Well?"},
        ANSWER,
    )
    assert row.tools == ({"type": "function", "function": {"name": "search", "description": "d", "parameters": {"type": "object"}}},)


def test_a_message_of_results_alone_is_only_tool_messages():
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "x"}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]}
    assert chat({"messages": [QUESTION, use, result, ANSWER]}).messages == (
        QUESTION,
        with_id("t1"),
        {**FOUND, "tool_call_id": "t1"},
        ANSWER,
    )


def test_parts_of_llama_factory():
    parts = [
        {"type": "reasoning", "value": "Hm."},
        {"type": "text", "value": "Hello"},
        {"type": "tool_call", "value": '{"name": "search", "arguments": {"q": "x"}}'},
    ]
    row = chat({"messages": [{"role": "user", "content": [{"type": "text", "value": "Hi"}]}, {"role": "assistant", "content": parts}]})
    assert row.messages == (QUESTION, {**ANSWER, "reasoning_content": "Hm.", "tool_calls": [CALL]})


def test_a_content_of_plain_texts_and_one_of_thinking_alone():
    row = chat({"messages": [{"role": "user", "content": ["H", "i"]}, {"role": "assistant", "content": None, "reasoning_content": "Hm."}]})
    assert row.messages == (QUESTION, {"role": "assistant", "content": "", "reasoning_content": "Hm."})


def test_calls_in_a_row_and_a_text_before_them_are_one_turn():
    call = {"from": "function_call", "value": '{"name": "search", "arguments": {"q": "x"}}'}
    result = {"from": "observation", "value": "found"}
    row = chat({"conversations": [QUESTION, ANSWER, call, call, result, result, ANSWER]})
    assert row.messages == (QUESTION, {**ANSWER, "tool_calls": [CALL, CALL]}, FOUND, FOUND, ANSWER)
    error = refused({"conversations": [QUESTION, {**ANSWER, "loss": False}, call]})
    assert error.where.endswith("$.conversations[2]")
    assert "different loss weights" in error.message


@pytest.mark.parametrize(
    "messages",
    [
        [QUESTION, {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}, FOUND, ANSWER],  # one result of both
        [QUESTION, ANSWER, FOUND, ANSWER],  # the call is in the text
        [QUESTION, CALLING],
        [QUESTION, CALLING, FOUND, QUESTION, ANSWER],
        [QUESTION, {"role": "assistant", "content": "", "reasoning_content": "Hm."}],
        [{"role": "developer", "content": "Be brief."}, QUESTION, ANSWER],
    ],
)
def test_orders_that_are_right(messages):
    assert len(chat({"messages": messages}).messages) == len(messages)


SYSTEM = {"role": "system", "content": "Be brief."}
TWO = {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "a"}, {**CALL, "id": "b"}]}


@pytest.mark.parametrize(
    ("messages", "path", "message", "hint"),
    [
        ([SYSTEM, {"role": "developer", "content": "x"}, QUESTION, ANSWER], "[1]", "a second system message", "Merge"),
        ([QUESTION, SYSTEM, ANSWER], "[1]", "a system message after a user message", "beginning"),
        ([ANSWER, QUESTION, ANSWER], "[0]", "starts with the assistant", "user message"),
        ([SYSTEM, ANSWER], "[1]", "starts with the assistant", "user message"),
        ([QUESTION, QUESTION, ANSWER], "[1]", "two user messages in a row", "Merge"),
        ([QUESTION, ANSWER, ANSWER], "[2]", "two assistant messages in a row", "Merge"),
        ([QUESTION, {"role": "assistant", "content": " "}], "[1]", "an empty assistant message", "Add its text"),
        ([{"role": "user", "content": ""}, ANSWER], "[0]", "an empty user message", "Add its text"),
        ([QUESTION, FOUND, ANSWER], "[1]", "a tool result without a tool call", "tool call before"),
        ([FOUND, QUESTION, ANSWER], "[0]", "a tool result without a tool call", "tool call before"),
        ([QUESTION, ANSWER, {**FOUND, "tool_call_id": "a"}, ANSWER], "[2]", "a tool result without a tool call", "tool call before"),
        ([QUESTION, CALLING, FOUND, FOUND, ANSWER], "[3]", "more tool results than tool calls (1)", "Remove it"),
        (
            [QUESTION, with_id("a"), {**FOUND, "tool_call_id": "b"}, ANSWER],
            "[2].tool_call_id",
            "no tool call has the id 'b'",
            "before it: a.",
        ),
        ([QUESTION, CALLING, {**FOUND, "tool_call_id": "b"}, ANSWER], "[2].tool_call_id", "no tool call has the id 'b'", "no ids"),
        (
            [QUESTION, TWO, *[{**FOUND, "tool_call_id": "a"}] * 2, ANSWER],
            "[3].tool_call_id",
            "a second result of the tool call 'a'",
            "Keep one",
        ),
        ([QUESTION, CALLING, QUESTION, ANSWER], "[2]", "before the result of the tool call 'search'", "tool message"),
        (
            [QUESTION, TWO, {**FOUND, "tool_call_id": "a"}, ANSWER],
            "[3]",
            "before the result of the tool call 'search' (id 'b')",
            "tool message",
        ),
        ([QUESTION, ANSWER, QUESTION], "[2]", "ends with a user message, without an answer", "Remove the last turn"),
        ([QUESTION, CALLING, FOUND], "[2]", "ends with a tool result", "add the answer"),
        ([{**QUESTION, "tool_calls": [CALL]}, ANSWER], "[0]", "a user message has tool calls", "Only assistant messages"),
        (
            [{**QUESTION, "content": [{"type": "thinking", "thinking": "x"}]}, ANSWER],
            "[0].content",
            "has thinking",
            "Only assistant messages",
        ),
        ([QUESTION, {**ANSWER, "content": [{"type": "tool_result"}]}], "[1].content", "has tool results", "user message"),
        ([QUESTION, {**ANSWER, "content": [{"type": "redacted_thinking"}]}], "[1].content[0]", "encrypted", "Remove this block"),
        (
            [{**QUESTION, "content": [{"type": "txt", "text": "x"}]}, ANSWER],
            "[0].content[0].type",
            "unknown part type 'txt'",
            "Did you mean 'text'",
        ),
        ([{**QUESTION, "content": [{"type": "text", "txt": "x"}]}, ANSWER], "[0].content[0]", "needs 'text'", "Did you mean 'txt'"),
        ([{**QUESTION, "content": [3]}, ANSWER], "[0].content[0]", "must be an object, not a number", "text"),
        ([QUESTION, {"role": "tool_call", "content": "[]"}], "[1].content", "list of tool calls is empty", ""),
    ],
)
def test_orders_that_are_wrong(messages, path, message, hint):
    error = refused({"messages": messages})
    assert error.where == f"rows.jsonl, row 7, $.messages{path}"
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        ({"loss": False}, 0.0),
        ({"loss": True}, None),
        ({"loss_scale": 1}, None),
        ({"loss_scale": 0.5}, 0.5),
        ({"loss_weight": 2}, 2.0),
        ({"weight": 0}, 0.0),
        ({"loss": True, "weight": 0.5, "loss_scale": 0.5}, 0.5),
        ({"loss": None}, None),
    ],
)
def test_the_factor_on_a_messages_loss(given, scale):
    answer = chat({"messages": [{**QUESTION, "weight": 0, "loss": False}, {**ANSWER, **given}]}).messages[1]
    assert answer == (ANSWER if scale is None else {**ANSWER, "loss_scale": scale})


@pytest.mark.parametrize(
    ("place", "given", "path", "message"),
    [
        (1, {"loss": True, "weight": 0}, "[1].weight", "contradicts 'loss'"),
        (1, {"loss": False, "loss_scale": 0.5}, "[1].loss_scale", "contradicts 'loss'"),
        (1, {"loss_scale": 1, "loss_weight": 0.5}, "[1].loss_weight", "contradicts 'loss_scale'"),
        (1, {"loss": 1}, "[1].loss", "must be true or false, not a number"),
        (1, {"loss_scale": -1}, "[1].loss_scale", "a number >= 0, not -1"),
        (1, {"loss_scale": float("nan")}, "[1].loss_scale", "not nan"),
        (1, {"weight": True}, "[1].weight", "not true or false"),
        (0, {"loss": True}, "[0].loss", "a user message can't be supervised, only assistant messages"),
        (0, {"loss_scale": 0.5}, "[0].loss_scale", "a user message can't be supervised"),
    ],
)
def test_factors_that_are_wrong(place, given, path, message):
    messages = [QUESTION, ANSWER]
    messages[place] = {**messages[place], **given}
    error = refused({"messages": messages})
    assert error.where.endswith(f"$.messages{path}")
    assert message in error.message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("preference-pair", {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}),
        ("preference-pair", {"prompt": [QUESTION], "chosen": [ANSWER], "rejected": [NO]}),
        ("preference-pair", {"prompt": "Hi", "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, NO], "messages": [QUESTION, ANSWER]}),
        ("preference-pair", {"conversations": [QUESTION], "chosen": {"from": "gpt", "value": "Hello"}, "rejected": NO}),
        ("preference-pair", {"instruction": "Hi", "input": "", "chosen": "Hello", "rejected": "No"}),
        ("preference-pair", {"query": "Hi", "chosen": "Hello", "rejected": "No"}),
        ("preference-messages", {"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, NO]}),
        ("preference-messages", {"chosen_messages": [QUESTION, ANSWER], "rejected_messages": [QUESTION, NO]}),
        ("preference-rejected", {"messages": [QUESTION, ANSWER], "rejected_response": "No"}),
        ("preference-rejected", {"messages": [QUESTION, ANSWER], "rejected_messages": [QUESTION, NO]}),
        ("preference-rejected", {"messages": [QUESTION, ANSWER], "rejected_messages": [NO]}),
        ("preference-rejected", {"query": "Hi", "response": "Hello", "rejected_response": "No"}),
        ("preference-outputs", {"instruction": "Hi", "output": ["Hello", "No"]}),
    ],
)
def test_every_form_of_one_preference(name, data):
    assert form_of(data).name == name
    assert chat(data, ("preference",)) == PreferenceRow((QUESTION,), (ANSWER,), (NO,))
    with_system = {**data, "system": "Be brief."}
    assert chat(with_system, ("preference",)).prompt == (SYSTEM, QUESTION)


def test_answers_of_several_turns():
    row = chat({"chosen": [QUESTION, CALLING, FOUND, ANSWER], "rejected": [QUESTION, NO], "tools": [CALL]}, ("preference",))
    assert (row.prompt, row.chosen, row.rejected) == ((QUESTION,), (CALLING, FOUND, ANSWER), (NO,))
    row = chat({"messages": [QUESTION, CALLING, FOUND, ANSWER], "rejected_response": "No"}, ("preference",))
    assert (row.prompt, row.chosen, row.rejected) == ((QUESTION, CALLING, FOUND), (ANSWER,), (NO,))


OTHER = {"role": "user", "content": "Why?"}


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({"prompt": "Hi", "chosen": "Hello"}, "$", "'rejected' is missing"),
        ({"chosen": "Hello", "rejected": "No"}, "$.chosen", "the row has no prompt"),
        ({"prompt": "Hi", "chosen": "No", "rejected": "No"}, "$.rejected", "the chosen and the rejected answer are equal"),
        ({"chosen": [QUESTION, NO], "rejected": [QUESTION, NO]}, "$.rejected[0]", "the chosen and the rejected answer are equal"),
        ({"chosen": [QUESTION, NO], "rejected": [OTHER, ANSWER]}, "$.chosen[0]", "differ before an answer"),
        ({"chosen": [QUESTION, NO], "rejected": [QUESTION, NO, OTHER, NO]}, "$.chosen[1]", "only the beginning of the other"),
        ({"prompt": "Hi", "chosen": [QUESTION, ANSWER], "rejected": "No"}, "$.rejected", "is an answer, the other a conversation"),
        ({"prompt": "Why?", "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, NO]}, "$.prompt", "differs from the one in 'chosen'"),
        ({"prompt": "Hi", "chosen": 1, "rejected": "No"}, "$.chosen", "must be text, not a number"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": ""}, "$.rejected", "an empty assistant message"),
        ({"messages": [QUESTION], "rejected_response": "No"}, "$", "no chosen one"),
        ({"messages": [QUESTION, ANSWER], "chosen": "a", "rejected": "b"}, "$.chosen", "two assistant messages in a row"),
        ({"chosen": [QUESTION, ANSWER, OTHER], "rejected": [QUESTION, NO]}, "$.chosen[2]", "ends with a user message"),
        ({"instruction": "Hi", "output": ["a", "b", "c"]}, "$.output", "must be [chosen, rejected], not 3 texts"),
    ],
)
def test_preferences_that_are_none(data, path, message):
    error = refused(data, ("preference",))
    assert error.where == f"rows.jsonl, row 7, {path}"
    assert message in error.message


@pytest.mark.parametrize(
    ("data", "messages", "label"),
    [
        ({"messages": [QUESTION, ANSWER], "label": True}, (QUESTION, ANSWER), True),
        ({"prompt": "Hi", "completion": "Hello", "label": "False"}, (QUESTION, ANSWER), False),
        ({"instruction": "Hi", "output": "Hello", "kto_tag": "true"}, (QUESTION, ANSWER), True),
        ({"text": "Hi", "label": "sport"}, (QUESTION,), "sport"),
        ({"query": "Hi", "label": 3}, (QUESTION,), 3),
        ({"messages": [QUESTION], "label": 0.5}, (QUESTION,), 0.5),
        ({"messages": [QUESTION, ANSWER], "label": ["a", "b"]}, (QUESTION, ANSWER), ["a", "b"]),
    ],
)
def test_labels(data, messages, label):
    row = chat(data, ("label",))
    assert row == LabelRow(messages, label)
    assert type(row.label) is type(label)


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({"text": "Hi", "label": float("nan")}, "$.label", "not nan"),
        ({"text": "Hi", "label": [1, {}]}, "$.label[1]", "not an object"),
        ({"instruction": "Hi", "output": "Hello", "kto_tag": 1}, "$.kto_tag", "must be true or false, not a number"),
        ({"label": 1}, "$", "no known row format"),
        ({"instruction": "Hi", "output": "Hello"}, "$", "label rows are expected"),
    ],
)
def test_labels_that_are_none(data, path, message):
    error = refused(data, ("label",))
    assert error.where == f"rows.jsonl, row 7, {path}"
    assert message in error.message


@pytest.mark.parametrize(
    ("data", "extra"),
    [
        ({"prompt": "Hi", "solution": "42"}, {"solution": "42"}),
        ({"prompt": [QUESTION], "label": 1}, {"label": 1}),
        ({"query": "Hi", "id": 7}, {"id": 7}),
        ({"instruction": "Hi", "input": None, "output": ""}, {"output": ""}),
        ({"messages": [QUESTION], "input": "x"}, {"input": "x"}),
        ({"conversations": [{"from": "human", "value": "Hi"}], "messages": None}, {}),
    ],
)
def test_prompts_keep_the_other_fields_for_rewards(data, extra):
    assert form_of(data, ("prompt",)).kind == "prompt"
    assert chat(data, ("prompt",)) == PromptRow((QUESTION,), None, extra)


def test_a_prompt_may_follow_earlier_turns_but_not_end_with_an_answer():
    assert chat({"messages": [QUESTION, ANSWER, OTHER]}, ("prompt",)).messages == (QUESTION, ANSWER, OTHER)
    error = refused({"messages": [QUESTION, ANSWER]}, ("prompt",))
    assert "this is a chat row" in error.message
    assert "ends with a user message" in error.hint
    assert "must end with a user or tool message, not" in refused({"prompt": [QUESTION, ANSWER]}, ("prompt",)).message


def test_the_kind_of_a_row_depends_on_the_accepted_kinds():
    row = {"text": "Hi", "messages": [QUESTION, ANSWER], "label": "sport"}
    assert chat(row, ("chat",)) == ChatRow((QUESTION, ANSWER))
    assert chat(row, ("text",)) == TextRow("Hi")
    assert chat(row, ("label",)) == LabelRow((QUESTION, ANSWER), "sport")
    assert chat({"text": "Hi", "label": 1}, ("text",)) == TextRow("Hi")


def test_an_empty_text():
    assert "is empty" in refused({"text": " "}, ("text",)).message


def test_a_row_that_could_not_be_read_is_refused_with_the_readers_words():
    fault = UsageError("not JSON", where="rows.jsonl, row 3")
    with pytest.raises(UsageError, match="not JSON"):
        normalise(RawRow(None, "rows.jsonl", 3, fault=fault), ("chat",))
