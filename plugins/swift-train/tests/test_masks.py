"""The mask is what the model must say at inference, for any template, or it is an error."""

from __future__ import annotations

import pytest
from swift_train.masks import ChatEncoder, pieces
from swift_train.options import MaskOptions
from transformers import AutoTokenizer

from swift_core.errors import UsageError
from swift_core.rows import ChatRow

PLAIN = (
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hi!"},
    {"role": "assistant", "content": "Hello, how can I help?"},
    {"role": "user", "content": "Weather in Paris?"},
    {"role": "assistant", "content": "It is 18 degrees in Paris."},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "You are welcome."},
)
SAID = ["Hello, how can I help?", "It is 18 degrees in Paris.", "You are welcome."]
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TOOLS = ({"type": "function", "function": {"name": "get_weather", "description": "", "parameters": {}}},)

LLAMA3 = (
    "{% for m in messages %}{{ '<|start|>' + m.role + '<|end|>\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<bos>' }}{% for m in messages %}{{ '<turn>' + ('model' if m.role == 'assistant' else m.role) }}"
    "{{ '\n' + m.content | trim + '<eot>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"
)
MISTRAL = (  # no generation prompt: the question's end is one
    "{{ '<s>' }}{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + '</s>' }}"
    "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"
)
THINKING = (  # Qwen3's habit: only the last turn shows that there was no thought
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def said(tokenizer, encoded):
    return [part["text"] for part in pieces(tokenizer, encoded.ids, encoded.supervised) if part["supervised"]]


@pytest.mark.model
@pytest.mark.parametrize(("end", "count"), [("turn", 23), ("separator", 26)])
def test_counts_on_a_real_tokenizer(smollm2, end, count):
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    (encoded,) = ChatEncoder(tokenizer, MaskOptions(end=end))(ChatRow(PLAIN))
    assert (sum(encoded.supervised), len(encoded.ids)) == (count, 72)
    assert said(tokenizer, encoded) == [text + "<|im_end|>" + ("\n" if end == "separator" else "") for text in SAID]


@pytest.mark.parametrize(
    ("template", "end"),
    [(None, "<|im_end|>"), (LLAMA3, "<|eot|>"), (GEMMA, "<eot>"), (MISTRAL, "</s>")],
    ids=["chatml", "llama3", "gemma", "mistral"],
)
def test_what_is_said_up_to_the_end_token(tokenizer, template, end):
    """The control tokens of the last three are not special here, nor even single tokens: they are supervised all the same."""
    tokenizer.chat_template = template or tokenizer.chat_template
    encode = ChatEncoder(tokenizer, MaskOptions())
    (encoded,) = encode(ChatRow(PLAIN))
    assert encoded.ids == tokenizer.apply_chat_template(list(PLAIN))["input_ids"]
    assert [text.strip() for text in said(tokenizer, encoded)] == [text + end for text in SAID]


def test_tokens_are_those_that_inference_sees(tokenizer):
    """Ahead of each turn stand the very tokens that an engine sends the model."""
    (encoded,) = ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN))
    starts = [i for i, flag in enumerate(encoded.supervised) if flag and not encoded.supervised[i - 1]]
    for start, turn in zip(starts, (2, 4, 6), strict=True):
        assert encoded.ids[:start] == tokenizer.apply_chat_template(list(PLAIN[:turn]), add_generation_prompt=True)["input_ids"]


def test_last_turn_only(tokenizer):
    (encoded,) = ChatEncoder(tokenizer, MaskOptions(turns="last"))(ChatRow(PLAIN))
    assert said(tokenizer, encoded) == ["You are welcome.<|im_end|>"]


def test_a_message_marked_as_not_to_be_learned(tokenizer):
    messages = (*PLAIN[:2], {**PLAIN[2], "loss": False}, *PLAIN[3:])
    (encoded,) = ChatEncoder(tokenizer, MaskOptions())(ChatRow(messages))
    assert said(tokenizer, encoded) == [text + "<|im_end|>" for text in SAID[1:]]


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer):
    tokenizer.chat_template = THINKING
    with pytest.raises(UsageError, match="message 3 differently when others follow it") as caught:
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN))
    assert "--mask.turns each" in caught.value.hint


def test_each_turn_from_what_the_model_sees_there(tokenizer):
    tokenizer.chat_template = THINKING
    rows = ChatEncoder(tokenizer, MaskOptions(turns="each"))(ChatRow(PLAIN))
    assert [said(tokenizer, row) for row in rows] == [[f"<think>\n\n</think>\n\n{text}<|im_end|>"] for text in SAID]
    assert [len(row.ids) for row in rows] == sorted(len(row.ids) for row in rows)


def test_a_generation_prompt_that_the_turn_does_not_begin_with(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n<think>'")
    with pytest.raises(UsageError, match="as its generation prompt begins it"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN))


def test_a_template_without_an_end_of_turn(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
    with pytest.raises(UsageError, match="never learn to stop"):
        ChatEncoder(tokenizer, MaskOptions())


def test_a_turn_that_ends_otherwise(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("+ '<|im_end|>'", "+ ('<|other|>' if loop.index0 == 6 else '<|im_end|>')")
    with pytest.raises(UsageError, match="message 7 does not end with"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN))


def test_a_token_across_the_border(tokenizer):
    """A generation prompt that ends in 'th' melts with 'e …' into a token that inference never sees."""
    tokenizer.chat_template = tokenizer.chat_template.replace("message['role'] + '\n'", "message['role'] + '\nth'").replace(
        "assistant\n'", "assistant\nth'"
    )
    messages = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "e answer"})
    with pytest.raises(UsageError, match="joins text across an assistant"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(messages))


def test_a_tool_call_that_the_template_drops(tokenizer):
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]})
    with pytest.raises(UsageError, match="leaves out the tool call in message 5"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(messages))


def test_tools_that_the_template_has_no_place_for(tokenizer):
    with pytest.raises(UsageError, match="no place for tools"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN, TOOLS))


def test_a_tool_call_is_learned(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content'] +", "message['content'] + (message.tool_calls | tojson if message.tool_calls else '') +"
    )
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]})
    (encoded,) = ChatEncoder(tokenizer, MaskOptions())(ChatRow(messages))
    assert "get_weather" in said(tokenizer, encoded)[1]


def test_a_refusal_of_the_template_says_so(tokenizer):
    tokenizer.chat_template = (
        "{% if messages | length > 3 %}{{ raise_exception('roles must alternate') }}{% endif %}" + tokenizer.chat_template
    )
    with pytest.raises(UsageError, match="refuses the conversation: roles must alternate"):
        ChatEncoder(tokenizer, MaskOptions())(ChatRow(PLAIN))


def test_no_template(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        ChatEncoder(tokenizer, MaskOptions())
