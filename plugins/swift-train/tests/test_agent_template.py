"""Tools written as text by an agent template, in front of any chat template."""

from __future__ import annotations

import json

import pytest
from swift_train.custom_template import use_template
from swift_train.options import SftOptions
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoTokenizer

TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Add numbers.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
    {"role": "tool", "content": "2"},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "It is 2."},
]


def rendered(folder, kind, messages=MESSAGES, tools=(TOOL,)):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    use_template(tokenizer, SftOptions(agent_template=kind))
    return tokenizer.apply_chat_template(messages, tools=list(tools) or None, tokenize=False)


def turns(text):
    return [part.split("\n", 1) for part in text.split("<|im_start|>")[1:]]


def test_hermes(tiny_model):
    system, user, call, results, answer = turns(rendered(tiny_model, "hermes"))
    assert system[0] == "system"
    assert system[1].startswith("Be brief.\n\n# Tools\n\n")
    inside = system[1].split("within <tools></tools> XML tags:\n<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(inside) == TOOL
    assert call == ["assistant", 'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n']
    assert results == ["user", "<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response><|im_end|>\n"]
    assert (user[1], answer[1]) == ("1 + 1?<|im_end|>\n", "It is 2.<|im_end|>\n")


def test_react(tiny_model):
    system, _, call, results, _ = turns(rendered(tiny_model, "react"))
    assert "\nadd: Add numbers. Parameters: " in system[1]
    assert "should be one of [add]" in system[1]
    assert call[1] == 'Let me see.\nAction: add\nAction Input: {"a": 1}<|im_end|>\n'
    assert results[1] == "Observation: 2\nObservation: 3<|im_end|>\n"


@pytest.mark.parametrize("kind", ["hermes", "react"])
def test_conversations_without_tools_are_as_before(tiny_model, kind):
    plain = [message for message in MESSAGES if message["role"] in ("system", "user")]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert rendered(tiny_model, kind, plain, ()) == tokenizer.apply_chat_template(plain, tokenize=False)


@pytest.mark.parametrize("kind", ["hermes", "react"])
def test_calls_are_supervised_and_results_are_not(tiny_model, tmp_path, kind):
    messages = [*MESSAGES[:4], MESSAGES[5]]  # a result for each call
    row = {"messages": messages, "tools": [TOOL]}
    rows = write_rows(tmp_path / "rows.jsonl", [row] * 4)
    run_training(training_run(tiny_model, rows, agent_template=kind, epochs=1, max_length=700), tmp_path / "run")
    pieces = json.loads((tmp_path / "run/mask_sample.json").read_text())["pieces"]
    supervised = "".join(piece["text"] for piece in pieces if piece["supervised"])
    assert "Let me see." in supervised
    assert "It is 2." in supervised
    assert "add" in supervised
    assert "Observation" not in supervised
    assert "tool_response" not in supervised
    saved = AutoTokenizer.from_pretrained(tmp_path / "run/output")
    assert saved.apply_chat_template(messages, tools=[TOOL], tokenize=False) == rendered(tiny_model, kind, messages)


@pytest.mark.parametrize("name", ["chatml", "human-assistant"])
def test_plain_templates_can_be_trained(tiny_model, tmp_path, name):
    rows = write_rows(tmp_path / "rows.jsonl", [{"messages": [MESSAGES[0], MESSAGES[1], MESSAGES[5]]}] * 2)
    run_training(training_run(tiny_model, rows, chat_template=name, epochs=1), tmp_path / "run")
    pieces = json.loads((tmp_path / "run/mask_sample.json").read_text())["pieces"]
    supervised = "".join(piece["text"] for piece in pieces if piece["supervised"])
    assert supervised.startswith("It is 2.")
    assert "1 + 1" not in supervised
