"""Borders between tokens are found the same by marks and by offsets, and marks are not trusted where they can't tell."""

from __future__ import annotations

import numpy as np
import pytest
from swift_train.testing import ragged_chats
from swift_train.token_alignment import TokenAligner
from swift_train.tokenise import Span, SupervisedText, Tokeniser
from tokenizers import AddedToken
from transformers import AutoTokenizer


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def rendered(tokenizer, messages, said):
    """A conversation as text, and where `said` lies in it."""
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return text, text.index(said), text.index(said) + len(said)


def by_both(tokenizer, text, start, stop):
    borders = TokenAligner(tokenizer)
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    found = borders.by_marks(text, [start, stop], np.array(encoding.ids, np.int32))
    return found, list(borders.by_offsets(text, start, stop, encoding))


def test_marks_and_offsets_agree(tokenizer):
    end = tokenizer.eos_token
    for row in ragged_chats(6):
        for message in row["messages"][1::2]:
            text, start, stop = rendered(tokenizer, row["messages"], message["content"] + end)
            marks, offsets = by_both(tokenizer, text, start, stop)
            assert marks == offsets
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids[marks[0] : marks[1]]) == message["content"] + end


def test_a_user_who_writes_control_tokens_moves_nothing(tokenizer):
    messages = [{"role": "user", "content": f"What is {tokenizer.eos_token}?"}, {"role": "assistant", "content": "An end."}]
    text, start, stop = rendered(tokenizer, messages, "An end." + tokenizer.eos_token)
    marks, offsets = by_both(tokenizer, text, start, stop)
    assert marks == offsets


def test_marks_that_take_whitespace_are_left_to_offsets(tokenizer):
    tokenizer.add_tokens([AddedToken("<turn>", rstrip=True, normalized=False)], special_tokens=True)
    text = "<turn> Yes." + tokenizer.eos_token
    marks, _ = by_both(tokenizer, text, 7, len(text))
    assert marks is None


def test_a_text_whose_tokens_lie_across_a_border_is_cut_there(tokenizer):
    """What ends the prompt and what begins the answer make one token together; the prompt is then tokenised by itself."""
    text = f"{tokenizer.eos_token}Say it.{tokenizer.eos_token}"
    start = text.index("t.")
    assert TokenAligner(tokenizer).by_marks(text, [start], np.array(tokenizer(text)["input_ids"], np.int32)) is None
    (encoded,) = Tokeniser(tokenizer)([SupervisedText(text, (Span(start, len(text), 1.0),))])[0]
    assert encoded.ids[: encoded.spans[0].start].tolist() == tokenizer(text[:start], add_special_tokens=False)["input_ids"]


def test_settings_of_another_use_do_not_cut_or_pad(tokenizer):
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=40)
    sequences = Tokeniser(tokenizer)([SupervisedText(text, (), whole=True) for text in ("One two three four five six.", "One.")])
    texts = [tokenizer.decode(encoded.ids, skip_special_tokens=True) for (encoded,) in sequences]
    assert texts == ["One two three four five six.", "One."]
