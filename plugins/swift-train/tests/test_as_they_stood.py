"""Turns of templates that rewrite a conversation once it is answered, and mended templates of those that can't be learned from."""

from __future__ import annotations

import copy
import re
from importlib.resources import files

import pytest
from swift_data.rows import ChatRow
from swift_testing.codes import coded
from swift_train.custom_template import use_template
from swift_train.mask_check import check_turns
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions, SftOptions
from swift_train.patched_templates import matching_patch, patched_templates
from swift_train.tokenise import Tokeniser
from transformers import AutoTokenizer

from swift_core.contract.errors import UsageError

# What Mistral v3's does with the system message: it stands in the last question, and only as long as that is not answered.
MISTRAL_V3 = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}"
    "{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}{%- for message in loop_messages %}"
    "{%- if message['role'] == 'user' %}{%- if loop.last and system_message is defined %}"
    "{{- '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] | trim + eos_token }}{%- endif %}{%- endfor %}"
)
SYSTEM, ASK, MORE = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}, {"role": "user", "content": "And now?"}
SAY, END = {"role": "assistant", "content": "Hello."}, {"role": "assistant", "content": "Good bye."}
CALL = {"id": "a1b2c3d4e", "type": "function", "function": {"name": "get_tide", "arguments": {"harbour": "Brest"}}}
CALLED = {"role": "assistant", "content": "", "reasoning_content": "I must look.", "tool_calls": [CALL]}
RESULT = {"role": "tool", "name": "get_tide", "tool_call_id": "a1b2c3d4e", "content": "2 m"}
TOOLS = ({"type": "function", "function": {"name": "get_tide", "description": "Height", "parameters": {}}},)


@pytest.fixture
def with_template(tiny_model):
    def with_template(text):
        tokenizer = copy.deepcopy(AutoTokenizer.from_pretrained(tiny_model))
        tokenizer.add_tokens(sorted(set(re.findall(r"<[|｜][^<>]{1,30}[|｜]>|\[/?INST\]", text))), special_tokens=True)
        tokenizer.chat_template = text
        return tokenizer

    return with_template


def packaged(name):
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def learned(tokenizer, row, stops=()):
    """(prompt, what is said) of each turn; the gate has compared the prompts with those of inference, token by token."""
    encoder = ChatEncoder(tokenizer, MaskOptions(), stops)
    scripts = encoder(row)
    sequences = [encoded for found in Tokeniser(tokenizer)(scripts) for encoded in found]
    check_turns(encoder, row, sequences)
    return [(script.text[:start], script.text[start:stop]) for script in scripts for start, stop, _ in script.spans]


def test_a_system_message_that_is_gone_once_it_is_answered(with_template):
    tokenizer = with_template(MISTRAL_V3)
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    assert learned(tokenizer, ChatRow((SYSTEM, ASK, SAY, MORE, END))) == [
        (f"{bos}[INST] Be brief.\n\nHi![/INST]", f" Hello.{eos}"),
        (f"{bos}[INST] Hi![/INST] Hello.{eos}[INST] Be brief.\n\nAnd now?[/INST]", f" Good bye.{eos}"),
    ]


def test_a_thought_ahead_of_a_call_that_is_gone_once_it_is_answered(with_template):
    found = learned(with_template(packaged("gptoss")), ChatRow((ASK, CALLED, RESULT, END), TOOLS), ("<|return|>", "<|call|>"))
    assert [said for _, said in found] == [
        "<|channel|>analysis<|message|>I must look.<|end|><|start|>assistant to=functions.get_tide<|channel|>commentary json<|message|>"
        '{"harbour": "Brest"}<|call|>',
        "<|channel|>final<|message|>Good bye.<|return|>",
    ]
    assert "I must look." in found[1][0], "as the engine sends it"


def test_a_message_that_no_turn_was_shown_is_refused(with_template):
    silent = MISTRAL_V3.replace("loop.last and system_message is defined", "false")
    with pytest.raises(UsageError, check=coded("TRAIN-080"), match="message 1"):
        learned(with_template(silent), ChatRow((SYSTEM, ASK, SAY)))


def test_a_template_that_can_not_be_learned_from_names_the_mended_one(with_template):
    tokenizer = with_template(packaged("deepseek_r1_distill"))
    for answer in (SAY, {**SAY, "reasoning_content": "They greet."}):
        with pytest.raises(UsageError) as caught:
            learned(tokenizer, ChatRow((ASK, answer)))
        assert "--chat-template deepseek-r1-distill" in caught.value.hint
    assert [matching_patch(with_template(text)) for text in (MISTRAL_V3, packaged("gptoss"))] == ["", ""]


@pytest.mark.parametrize(
    ("answer", "thought"),
    [
        ({**SAY, "reasoning_content": "They greet."}, "They greet."),
        ({**SAY, "content": "<think>\nThey greet.\n</think>\n\nHello."}, "They greet."),
        (SAY, ""),
    ],
)
def test_the_mended_template_of_r1_distill(with_template, answer, thought):
    own = with_template(packaged("deepseek_r1_distill"))
    tokenizer = copy.deepcopy(own)
    use_template(tokenizer, SftOptions(chat_template="deepseek-r1-distill"))
    assert tokenizer.chat_template == patched_templates()["deepseek-r1-distill"], "it is saved with the checkpoint, so serving has it too"
    row = ChatRow((SYSTEM, ASK, answer, MORE, {**answer, "content": answer["content"].replace("Hello.", "Good bye.")}))
    found = learned(tokenizer, row)
    eos = "<｜end▁of▁sentence｜>"
    assert [said for _, said in found] == [f"{thought}\n</think>\n\nHello.{eos}", f"{thought}\n</think>\n\nGood bye.{eos}"]
    for (prompt, _), messages in zip(found, (row.messages[:2], row.messages[:4]), strict=True):
        assert prompt == own.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True), "as the model's own has it"
        assert prompt.endswith("<think>\n")


def test_a_template_that_is_neither_a_file_nor_one_of_ours(with_template):
    with pytest.raises(UsageError) as caught:
        use_template(with_template(MISTRAL_V3), SftOptions(chat_template="deepseek-r2"))
    assert "deepseek-r1-distill" in caught.value.hint
