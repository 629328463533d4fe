"""Masks under the chat templates of public packages, held against what these templates are known to do and not against our derivation.

What is known stands in tables here: how turns end, and which texts let someone else speak.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions
from swift_train.tokenise import Tokeniser

from swift_core.contract import UsageError

ROOT = Path(__file__).parents[3]

# Last token of a turn by the beginning of a template's name, where it is not <|im_end|>: ChatML's, and SmolLM2's own, which stands
# wherever a template writes eos_token. With a second one, a turn that calls a tool ends with that.
ENDS = {
    "aya": "<|END_OF_TURN_TOKEN|>",
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "command_a": "<|END_OF_TURN_TOKEN|>",
    "deepseek_v3": "<｜end▁of▁sentence｜>",
    "diffusion_gemma": "<turn|> <|tool_response>",
    "exaone": "[|endofturn|]",
    "gemma": "<end_of_turn>",
    "gemma4": "<turn|> <|tool_response>",
    "gemma4_v2": "<turn|>",  # as the models were released; later the template was mended
    "glm4moe": "<|user|> <|observation|>",
    "gptoss": "<|return|> <|call|>",
    "idefics3": "<end_of_utterance>",
    "jamba": "<|eom|>",
    "llama3": "<|eot_id|>",
    "llama4": "<|eot|>",
    "llava_next": "</s>",
    "muse_glimmer": "<|eot|>",
    "phi": "<|end|>",
    "phi_4": "<|im_end|>",
    "smolvlm": "<end_of_utterance>",
}
OTHERS = (  # what lets another than the assistant speak
    "<|im_start|>", "<|start_header_id|>", "<|header_start|>", "<start_of_turn>user", "<|turn>user", "<|turn>system", "<|turn>tool",
    "<|START_OF_TURN_TOKEN|>", "<|bom|>",
    "<|start|>user", "<|start|>system", "<|start|>developer", "<|user|>", "<|system|>", "<|observation|>", "<|tool|>", "<|tool_response>",
    "<tool_response>", "<｜User｜>", "[|user|]", "[|tool|]", "[INST]", "[TOOL_RESULTS]", "### Instruction", "User:", "USER:",
)  # fmt: skip


EVERY = 5  # one of so many templates is tested by `make test`


def load_builder():
    spec = importlib.util.spec_from_file_location("docs_templates", ROOT / "docs" / "templates.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


builder = load_builder()


@pytest.fixture(scope="module", params=[EVERY, pytest.param(1, marks=pytest.mark.full("templates"))], ids=["sample", "all"])
def results(smollm2, request):
    """The templates' outcomes: of a sample, and in the lane of all; made once."""
    return dict(builder.results(smollm2, every=request.param))


def expected_ends(name):
    stem = name.rpartition("/")[2]
    known = max((beginning for beginning in ENDS if stem.startswith(beginning)), key=len, default="")
    plain, _, call = ENDS.get(known, "<|im_end|>").partition(" ")
    return plain, call or plain


def faults(encoder, row, sequences, ends):
    """What is wrong with the supervised spans of a conversation, each as a sentence."""
    tokenizer, learned = encoder.template.tokenizer, []
    messages = encoder.template.prepare(row.messages)  # contents as parts, arguments as text: spelling, not derivation
    turns = {index: message for index, message in enumerate(row.messages) if message["role"] == "assistant"}
    for encoded in sequences:
        ids, last = encoded.ids.tolist(), 0
        for start, stop, _ in encoded.spans:
            said = tokenizer.decode(ids[start:stop])
            mine = [index for index, message in turns.items() if marks(message) and all(word in said for word in marks(message))]
            if len(mine) != 1:
                yield f"{said!r} is {len(mine)} turns"
                continue
            (index,) = mine
            learned.append(index)
            end = ends[bool(row.messages[index].get("tool_calls"))]
            if not said.endswith(end):
                yield f"{said!r} does not end with {end}"
            if found := [other for other in OTHERS if other in said.removesuffix(end)]:
                yield f"{said!r} lets {found} speak"
            tools = list(row.tools) if row.tools else None
            prompt = tokenizer.apply_chat_template(messages[:index], tools=tools, add_generation_prompt=True, tokenize=False)
            if tokenizer(prompt, add_special_tokens=False)["input_ids"] != ids[:start]:
                yield f"other tokens ahead of {said!r} than inference sees"
            if start < last:
                yield f"{said!r} begins within the turn ahead of it"
            last = stop
    if sorted(learned) != list(turns):
        yield f"learned are messages {sorted(learned)}, not {list(turns)}"


def marks(message):
    """What a turn can be recognised by."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    words = [message["content"], message.get("reasoning_content") or "", *(call["name"] for call in calls)]
    return [word for word in words if word]


@pytest.mark.model
@pytest.mark.parametrize("label", builder.CONVERSATIONS)
def test_supervised_is_what_the_model_must_say(results, label):
    wrong, row = {}, builder.CONVERSATIONS[label]
    learned = {name: outcomes[label] for name, outcomes in results.items() if not isinstance(outcomes[label].outcome, UsageError)}
    for name, (encoder, sequences) in learned.items():
        if found := list(faults(encoder, row, sequences, expected_ends(name))):
            wrong[name] = found
    assert not wrong


@pytest.mark.model
def test_a_refusal_is_always_one_of_the_known(results):
    for name, outcomes in results.items():
        for label, (_, outcome) in outcomes.items():
            if isinstance(outcome, UsageError):
                assert any(part in outcome.message for part in builder.REASONS), f"{name}, {label}: {outcome.message}"


@pytest.mark.model
@pytest.mark.full("templates")
def test_the_page_is_current(smollm2):
    results = dict(builder.results(smollm2))
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(results), "docs/reference/templates.md: run `make docs` and commit"


INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}"
    "{% else %}{{ '[INST] ' + m.content | trim + ' [/INST]' }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def metaspace(scheme, tokens):
    """A small tokenizer built as SentencePiece's are: words carry the space ahead of them as ▁."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [message["content"] for message in builder.CHAT] * 20 + ["[/INST] Hello, how", "[/INST] It is", "user assistant"] * 20
    made.train_from_iterator(words, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False))
    state = json.loads(made.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # bytes are pieces like others, which stand for what has no piece
    made = Tokenizer.from_str(json.dumps(state))
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize(
    ("template", "tokens", "end"),
    [
        (INST, (), "</s>"),
        (CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
        (LLAMA3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
    ],
    ids=["inst", "chatml", "llama3"],
)
def test_a_tokenizer_that_writes_the_space_into_the_word(scheme, template, tokens, end):
    tokenizer = metaspace(scheme, tokens)
    tokenizer.chat_template = template
    encoder, row = ChatEncoder(tokenizer, MaskOptions()), builder.CONVERSATIONS["multi-turn"]
    sequences = builder.encode(encoder, Tokeniser(tokenizer), row)
    assert not isinstance(sequences, UsageError), sequences
    assert list(faults(encoder, row, sequences, (end, end))) == []
