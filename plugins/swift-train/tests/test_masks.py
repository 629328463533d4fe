"""The mask is what the model must say at inference, for any template, or it is an error."""

from __future__ import annotations

import pytest
from swift_data.rows import ChatRow
from swift_testing.codes import coded
from swift_train import token_weights
from swift_train.custom_template import use_template
from swift_train.mask_check import MaskError, check_turns
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions, SftOptions
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser
from transformers import AutoTokenizer

from swift_core.contract.errors import UsageError

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


def encode(tokenizer, row, stops=(), **mask):
    """The row's sequences, which the gate has let through."""
    encoder = ChatEncoder(tokenizer, MaskOptions(**mask), stops)
    sequences = []
    for result in Tokeniser(tokenizer)(encoder(row)):
        if isinstance(result, UsageError):
            raise result
        sequences += result
    if mask.get("turns") != "everything":
        check_turns(encoder, row, sequences)
    return sequences


def said(tokenizer, encoded):
    return [tokenizer.decode(encoded.ids[start:stop]) for start, stop, _ in encoded.spans]


def supervised(encoded):
    return sum(stop - start for start, stop, _ in encoded.spans)


@pytest.mark.model
@pytest.mark.parametrize(("end", "count"), [("turn", 23), ("separator", 26)])
def test_counts_on_a_real_tokenizer(smollm2, end, count):
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    (encoded,) = encode(tokenizer, ChatRow(PLAIN), end=end)
    assert (supervised(encoded), len(encoded.ids)) == (count, 72)
    assert said(tokenizer, encoded) == [text + "<|im_end|>" + ("\n" if end == "separator" else "") for text in SAID]


@pytest.mark.parametrize(
    ("template", "end"),
    [(None, "<|im_end|>"), (LLAMA3, "<|eot|>"), (GEMMA, "<eot>"), (MISTRAL, "</s>")],
    ids=["chatml", "llama3", "gemma", "mistral"],
)
def test_what_is_said_up_to_the_end_token(tokenizer, template, end):
    """The control tokens of the last three are not special here, nor even single tokens: they are supervised all the same."""
    tokenizer.chat_template = template or tokenizer.chat_template
    (encoded,) = encode(tokenizer, ChatRow(PLAIN))
    assert encoded.ids.tolist() == tokenizer.apply_chat_template(list(PLAIN))["input_ids"]
    assert [text.strip() for text in said(tokenizer, encoded)] == [text + end for text in SAID]


def test_tokens_are_those_that_inference_sees(tokenizer):
    """Ahead of each turn stand the very tokens that an engine sends the model."""
    (encoded,) = encode(tokenizer, ChatRow(PLAIN))
    for (start, _, _), turn in zip(encoded.spans, (2, 4, 6), strict=True):
        assert encoded.ids[:start].tolist() == tokenizer.apply_chat_template(list(PLAIN[:turn]), add_generation_prompt=True)["input_ids"]


def test_last_turn_only(tokenizer):
    (encoded,) = encode(tokenizer, ChatRow(PLAIN), turns="last")
    assert said(tokenizer, encoded) == ["You are welcome.<|im_end|>"]


def test_everything(tokenizer):
    (encoded,) = encode(tokenizer, ChatRow(PLAIN), turns="everything")
    assert encoded.spans == (Span(0, len(encoded.ids), 1.0),)


def test_everything_is_all_that_the_row_says_or_refused(tokenizer):
    for turn, part in (
        ({**PLAIN[2], "loss_scale": 0.0}, "message 3 has loss_scale 0"),
        ({**PLAIN[2], "reasoning_content": "So."}, "reasoning"),
        ({**PLAIN[2], "tool_calls": [{"type": "function", "function": {"name": "tide", "arguments": {}}}]}, "tool call"),
    ):
        with pytest.raises(UsageError, match=part):
            encode(tokenizer, ChatRow((*PLAIN[:2], turn)), turns="everything")


def test_what_a_message_weighs(tokenizer):
    messages = (*PLAIN[:2], {**PLAIN[2], "loss_scale": 0.0}, *PLAIN[3:6], {**PLAIN[6], "loss_scale": 0.25})
    (encoded,) = encode(tokenizer, ChatRow(messages))
    assert said(tokenizer, encoded) == [text + "<|im_end|>" for text in SAID[1:]]
    assert [span.weight for span in encoded.spans] == [1.0, 0.25]


def test_a_row_in_which_nothing_is_learned(tokenizer):
    with pytest.raises(UsageError, check=coded("TRAIN-038"), match="loss_scale 0"):
        encode(tokenizer, ChatRow((*PLAIN[:2], {**PLAIN[2], "loss_scale": 0.0})))


def test_a_template_that_rewrites_earlier_turns_gives_a_sequence_a_turn(tokenizer):
    tokenizer.chat_template = THINKING
    sequences = encode(tokenizer, ChatRow(PLAIN))
    assert [said(tokenizer, encoded) for encoded in sequences] == [[f"<think>\n\n</think>\n\n{text}<|im_end|>"] for text in SAID]
    for encoded, turn in zip(sequences, (2, 4, 6), strict=True):
        prompt = tokenizer.apply_chat_template(list(PLAIN[:turn]), add_generation_prompt=True)["input_ids"]
        assert encoded.ids[: encoded.spans[0].start].tolist() == prompt


def test_turns_that_stand_as_they_were_share_a_sequence(tokenizer):
    """Only the second of three turns is rewritten when another follows: it alone has a sequence of its own."""
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content'] +", "message['content'] + (' …' if loop.index0 == 4 and not loop.last else '') +"
    )
    sequences = encode(tokenizer, ChatRow(PLAIN))
    assert [said(tokenizer, encoded) for encoded in sequences] == [[SAID[1] + "<|im_end|>"], [text + "<|im_end|>" for text in SAID[::2]]]


def test_an_earlier_turn_that_ends_otherwise(tokenizer):
    """gpt-oss's habit: the last turn ends with another token than the earlier ones, and that is what the model has to say."""
    tokenizer.add_tokens(["<|return|>"], special_tokens=True)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "'<|im_end|>' +", "('<|return|>' if loop.last and message.role == 'assistant' else '<|im_end|>') +"
    )
    sequences = encode(tokenizer, ChatRow(PLAIN))
    assert [said(tokenizer, encoded) for encoded in sequences] == [[text + "<|return|>"] for text in SAID]


def test_a_generation_prompt_that_the_turn_does_not_begin_with(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n<think>'")
    with pytest.raises(UsageError, check=coded("TRAIN-084"), match="'<think>'"):
        encode(tokenizer, ChatRow(PLAIN))


def test_a_template_that_shows_the_system_prompt_only_to_the_last_question(tokenizer):
    """Mistral's habit: once the question is answered, the system prompt is gone. Each answer is learned behind what the engine sends."""
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST]' + (messages[0].content if loop.last and messages[0].role == 'system' "
        "else '') + m.content + '[/INST]' }}{% elif m.role == 'assistant' %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    )
    sequences = encode(tokenizer, ChatRow(PLAIN))
    assert [said(tokenizer, encoded) for encoded in sequences] == [[text + "<|im_end|>"] for text in SAID]
    for turn, encoded in zip((2, 4, 6), sequences, strict=True):
        prompt = tokenizer.apply_chat_template(list(PLAIN[:turn]), add_generation_prompt=True)["input_ids"]
        assert encoded.ids[: len(prompt)].tolist() == prompt


def test_a_template_without_an_end_of_turn(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
    with pytest.raises(UsageError, check=coded("TRAIN-011")):
        ChatEncoder(tokenizer, MaskOptions())


def test_a_turn_that_ends_by_naming_who_speaks_next(tokenizer):
    """GLM's habit: no end token; the family knows that the next speaker's token stops the model."""
    tokenizer.add_tokens(["<|user|>", "<|assistant|>", "<|tool|>", "<|system|>"], special_tokens=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    )
    with pytest.raises(UsageError, check=coded("TRAIN-011")):
        encode(tokenizer, ChatRow(PLAIN))
    stops = ("<|user|>", "<|tool|>")
    (encoded,) = encode(tokenizer, ChatRow(PLAIN), stops)
    assert said(tokenizer, encoded) == [f"{text}<|user|>" for text in SAID]
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "18"}, PLAIN[4])
    (encoded,) = encode(tokenizer, ChatRow(messages), stops)
    assert said(tokenizer, encoded)[1].endswith('"Paris"}}<|tool|>')


def test_a_stop_token_in_the_words_of_a_turn_does_not_end_it(tokenizer):
    messages = (PLAIN[1], {"role": "assistant", "content": "It says <|im_end|> at the end."})
    (encoded,) = encode(tokenizer, ChatRow(messages))
    assert said(tokenizer, encoded) == ["It says <|im_end|> at the end.<|im_end|>"]


def test_what_follows_the_stop_token_is_not_learned(tokenizer):
    """Phi-3's habit: the text's end token after the last turn's own."""
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{% if add_generation_prompt %}", "{% if not add_generation_prompt %}{{ '<|endoftext|>' }}{% endif %}{% if add_generation_prompt %}"
    )
    (encoded,) = encode(tokenizer, ChatRow(PLAIN))
    assert said(tokenizer, encoded) == [text + "<|im_end|>" for text in SAID]


def test_a_turn_that_does_not_end(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("+ '<|im_end|>'", "+ ('<|other|>' if loop.index0 == 6 else '<|im_end|>')")
    with pytest.raises(UsageError, check=coded("TRAIN-085"), match="message 7"):
        encode(tokenizer, ChatRow(PLAIN))


def test_a_token_across_the_border(tokenizer):
    """A generation prompt that ends in 'th' melts with 'e …' into a token that inference never sees: the prompt is tokenised alone."""
    tokenizer.chat_template = tokenizer.chat_template.replace("message['role'] + '\n'", "message['role'] + '\nth'").replace(
        "assistant\n'", "assistant\nth'"
    )
    messages = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "e answer"}) * 2
    sequences = encode(tokenizer, ChatRow(messages))
    assert [said(tokenizer, encoded) for encoded in sequences] == [["e answer<|im_end|>"]] * 2
    prompt = tokenizer.apply_chat_template(list(messages[:3]), add_generation_prompt=True)["input_ids"]
    assert sequences[1].ids[: len(prompt)].tolist() == prompt


def test_a_tool_call_that_the_template_drops(tokenizer):
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]})
    with pytest.raises(UsageError, check=coded("TRAIN-086"), match="message 5: 'get_weather'"):
        encode(tokenizer, ChatRow(messages))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hello!", "reasoning_content": "They greet me."},
        {"role": "assistant", "content": "<think>They greet me.</think>Hello!"},
    ],
)
def test_thinking_that_the_template_drops(tokenizer, message):
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content'] +", "message['content'].split('</think>')[-1] +")
    with pytest.raises(UsageError, check=coded("TRAIN-087"), match="omits the reasoning in message 2: 'They greet me"):
        encode(tokenizer, ChatRow((PLAIN[1], message)))


def test_a_system_message_that_the_template_drops(tokenizer):
    tokenizer.chat_template = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}" + tokenizer.chat_template
    with pytest.raises(UsageError, check=coded("TRAIN-080"), match=r"omits a part of message 1 \(system\)"):
        encode(tokenizer, ChatRow(({"role": "system", "content": "Be brief."}, *PLAIN[1:])))


def test_whitespace_that_the_template_strips_is_no_loss(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content'] +", "message['content'].split() | join(' ') +")
    (encoded,) = encode(tokenizer, ChatRow((PLAIN[1], {"role": "assistant", "content": "  Hello,\n\n  you. "})))
    assert said(tokenizer, encoded) == ["Hello, you.<|im_end|>"]


def test_tools_that_the_template_has_no_place_for(tokenizer):
    with pytest.raises(UsageError, check=coded("TRAIN-081"), match="'get_weather'"):
        encode(tokenizer, ChatRow(PLAIN, TOOLS))


CALLING = "message['content'] + (message.tool_calls | tojson if message.tool_calls else '') +"


def test_a_tool_call_is_learned(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content'] +", CALLING)
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]})
    (encoded,) = encode(tokenizer, ChatRow(messages))
    assert said(tokenizer, encoded)[1].count("get_weather") == 2


def test_arguments_as_json_text_where_the_template_takes_no_object(tokenizer):
    """DeepSeek V3's habit: it joins the arguments to a text."""
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content'] +", "message['content'] + (message.tool_calls[0].function.name + message.tool_calls[0].function.arguments if "
        "message.tool_calls else '') +",
    )  # fmt: skip
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]})
    (encoded,) = encode(tokenizer, ChatRow(messages))
    assert said(tokenizer, encoded)[1] == 'get_weather{"city": "Paris"}<|im_end|>'


def test_contents_as_parts_where_the_template_takes_no_text(tokenizer):
    """The habit of vision models' templates."""
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content'] +", "message['content'][0]['text'] +")
    (encoded,) = encode(tokenizer, ChatRow(PLAIN))
    assert said(tokenizer, encoded) == [text + "<|im_end|>" for text in SAID]


MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{% if message.role == 'assistant' %}{% generation %}"
    "{{ message.content }}{% if message.tool_calls %}{{ message.tool_calls | tojson + '<|call|>' }}{% else %}{{ '<|im_end|>' }}{% endif %}"
    "{% endgeneration %}{{ '\n' }}{% else %}{{ message.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_generation_marks_tell_how_a_turn_may_end(tokenizer):
    """Nothing but the template's own marks says that '<|call|>' ends a turn; without them the row is refused."""
    tokenizer.add_tokens(["<|call|>"], special_tokens=True)
    messages = (*PLAIN[:4], {"role": "assistant", "content": "", "tool_calls": [CALL]})
    tokenizer.chat_template = MARKED
    (encoded,) = encode(tokenizer, ChatRow(messages))
    assert said(tokenizer, encoded)[1].endswith("<|call|>")
    tokenizer.chat_template = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    with pytest.raises(UsageError, check=coded("TRAIN-085"), match="message 5"):
        encode(tokenizer, ChatRow(messages))


def test_generation_marks_that_are_wrong_change_nothing(tokenizer):
    """Marks around the prompt's header, and short of the end token, as some templates have them."""
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ '<|im_start|>' + message['role']", "{% generation %}{{ '<|im_start|>' + message['role'] }}{% endgeneration %}{{ ''"
    )
    (encoded,) = encode(tokenizer, ChatRow(PLAIN))
    assert said(tokenizer, encoded) == [text + "<|im_end|>" for text in SAID]


def test_a_refusal_of_the_template_says_so(tokenizer):
    tokenizer.chat_template = (
        "{% if messages | length > 3 %}{{ raise_exception('roles must alternate') }}{% endif %}" + tokenizer.chat_template
    )
    with pytest.raises(UsageError, check=coded("TRAIN-013"), match="refuses the conversation: roles must alternate"):
        encode(tokenizer, ChatRow(PLAIN))


def test_images_are_not_for_a_task_of_text(tokenizer):
    content = [{"type": "image", "image": "/cat.png"}, {"type": "text", "text": "What is it?"}]
    with pytest.raises(UsageError, check=coded("TRAIN-039"), match="message 1 contains image"):
        encode(tokenizer, ChatRow(({"role": "user", "content": content}, {"role": "assistant", "content": "A cat."})))


def test_no_template(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(UsageError, check=coded("TRAIN-010")):
        ChatEncoder(tokenizer, MaskOptions())


@pytest.mark.parametrize(
    ("mutation", "says"),
    [
        (lambda span: span._replace(start=span.start + 1, stop=span.stop + 1), "does not begin where a prompt ends"),
        (lambda span: span._replace(start=span.start + 1), "does not begin where a prompt ends"),
        (lambda span: span._replace(start=span.start - 1), "does not begin where a prompt ends"),
        (lambda span: span._replace(stop=span.stop - 1), "message 3 is not supervised through its stop token"),
        (lambda span: span._replace(stop=span.stop + 3), "message 3 is not supervised through its stop token"),
    ],
    ids=["shifted by one", "first token lost", "a token of the prompt let in", "end token lost", "tokens of the next turn let in"],
)
def test_the_gate_catches_a_wrong_mask(tokenizer, mutation, says):
    encoder, row = ChatEncoder(tokenizer, MaskOptions()), ChatRow(PLAIN)
    (encoded,) = encode(tokenizer, row)
    wrong = Encoded(encoded.ids, (mutation(encoded.spans[0]), *encoded.spans[1:]))
    with pytest.raises(MaskError, match=says):
        check_turns(encoder, row, [wrong])


def test_the_gate_catches_turns_that_are_missing_or_too_many(tokenizer):
    encoder, row = ChatEncoder(tokenizer, MaskOptions()), ChatRow(PLAIN)
    (encoded,) = encode(tokenizer, row)
    with pytest.raises(MaskError, check=coded("TRAIN-037"), match=r"messages 3, 5, 7 .* but 3, 5 are"):
        check_turns(encoder, row, [Encoded(encoded.ids, encoded.spans[:2])])
    with pytest.raises(MaskError, check=coded("TRAIN-037"), match="but 3, 3, 5, 5, 7, 7 are"):
        check_turns(encoder, row, [encoded, encoded])


def test_the_gate_catches_tokens_that_inference_does_not_see(tokenizer):
    encoder, row = ChatEncoder(tokenizer, MaskOptions()), ChatRow(PLAIN)
    (encoded,) = encode(tokenizer, row)
    ids = encoded.ids.copy()
    ids[2] += 1
    with pytest.raises(MaskError, check=coded("TRAIN-035")):
        check_turns(encoder, row, [Encoded(ids, encoded.spans)])


def test_variables_are_written_into_the_template_as_they_are(tokenizer):
    text = '😀 "x" \\n {{ y }}\n'
    tokenizer.chat_template = "{{ greeting }}{% for m in messages %}{{ m.content }}{% endfor %}"
    use_template(tokenizer, SftOptions(template_variables={"greeting": text}))
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == f"{text}Hi"
    with pytest.raises(UsageError, check=coded("TRAIN-018"), match="my-greeting"):
        use_template(tokenizer, SftOptions(template_variables={"my-greeting": text}))


WITH_CALL = "So.\n<tool_call>\n{}\n</tool_call>\nDone."


@pytest.mark.parametrize(("weights", "heavy", "factor"), [
    ("hermes", "<tool_call>\n{}\n</tool_call>", 2.0), ('{"So": 0.5}', "So", 0.5), ('{"^S": 3, "o": 0, "S.": 8}', "So", 8.0),
])  # fmt: skip
def test_what_matches_weighs(tokenizer, weights, heavy, factor):
    """With the weight of the message as a factor; the turn is supervised as before."""
    messages = (*PLAIN[:2], {"role": "assistant", "content": WITH_CALL, "loss_scale": 0.25}, *PLAIN[3:5])
    plain, weighted = (encode(tokenizer, ChatRow(messages), weights=value) for value in ("", weights))
    assert [(each.ids.tolist(), each.spans) for each in plain] == [(each.ids.tolist(), each.spans) for each in weighted]
    found = {}
    for each in weighted:
        for token, weight in zip(each.ids.tolist(), each.weights.tolist(), strict=True):
            found.setdefault(weight, []).append(token)
    assert tokenizer.decode(found.pop(factor / 4)).strip() == heavy
    assert sorted(found) == [0.0, 0.25, 1.0]


def test_what_weighs_where_the_prompt_is_tokenised_separately(tokenizer):
    """As where a token spans the boundary of the turn."""
    text = "You are welcome, and so is that."
    start, place = text.index("re welcome"), text.index("so is")
    weighted = (Span(place, place + 5, 3.0),)
    ((encoded,),) = Tokeniser(tokenizer)([SupervisedText(text, (Span(start, len(text), 1.0),), weighted=weighted)])
    assert tokenizer.decode(encoded.ids[encoded.weights == 3]).strip() == "so is"
    assert set(encoded.weights.tolist()) == {0.0, 1.0, 3.0}


def test_an_empty_thought_is_not_learned(tokenizer):
    tokenizer.chat_template = THINKING
    sequences = encode(tokenizer, ChatRow(PLAIN), weights="ignore_empty_think")
    learned = [tokenizer.decode(encoded.ids[encoded.weights > 0]) for encoded in sequences]
    assert learned == [f"{text}<|im_end|>" for text in SAID]
    cut = sequences[0].cut(sequences[0].spans[0].start, len(sequences[0].ids))
    assert tokenizer.decode(cut.ids[cut.weights > 0]) == learned[0]


@pytest.mark.parametrize(("value", "said"), [
    ("hermess", "JSON"), ("{}", "object"), ('{"(": 1}', "regular expression"), ('{"a": -1}', "number from 0"), ('{"a": true}', "number"),
])  # fmt: skip
def test_weights_that_are_none(value, said):
    with pytest.raises(ValueError, match=said):
        MaskOptions(weights=value)


REACT = "Thought: which\nAction: look\nAction Input: {}\nObservation: rain\nThought: so\nFinal Answer: rain"


@pytest.mark.parametrize(("name", "weights"), [
    ("react", {"Action: look\nAction Input: {}\n": 2, "Observation:": 2, " rain\n": 0}),
    ("alpha_umi", {"Action: look\nAction Input: {}\n": 2, "Observation:": 2, " rain\n": 0}),
])  # fmt: skip
def test_sets_of_patterns(name, weights):
    found = {}
    for start, stop, weight in token_weights.spans(REACT, Span(0, len(REACT), 1.0), token_weights.patterns(token_weights.checked(name))):
        if stop > start:
            found[REACT[start:stop]] = weight
    assert found == weights
