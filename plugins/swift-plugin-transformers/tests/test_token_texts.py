"""The text of one token has its leading space and its bytes, with byte-level and with SentencePiece vocabularies."""

from __future__ import annotations

import pytest
from swift_plugin_transformers.detokenizer import token_text
from swift_testing.rig import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

TEXT = "The café of 日本 🎉  twice."


def sentencepiece() -> PreTrainedTokenizerFast:
    """A Unigram tokenizer as Llama 2 has one: ▁ for a space, and byte fallback."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), *((f"<0x{byte:02X}>", -9.0) for byte in range(256)), ("▁The", -1.0), ("▁", -3.0)]
    pieces += [(letter, -4.0) for letter in "Tabcdefhiotwc."]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")


@pytest.mark.parametrize(("tokenizer", "before"), [(tiny_tokenizer(), ""), (sentencepiece(), " ")], ids=["byte-level", "sentencepiece"])
def test_the_bytes_of_all_tokens_are_those_of_the_text(tokenizer: PreTrainedTokenizerFast, before: str):
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    texts = [token_text(tokenizer, token) for token in ids]
    assert b"".join(text.encode("utf-8", "surrogateescape") for text in texts).decode() == before + TEXT
    assert any(text.encode("utf-8", "surrogateescape") == "日".encode()[:1] for text in texts)


def test_special_tokens_are_their_names():
    assert token_text(tiny_tokenizer(), 1) == "<|im_start|>"
    assert token_text(sentencepiece(), 1) == "<s>"
