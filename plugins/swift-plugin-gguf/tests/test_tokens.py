"""Tokenizers in GGUF files: read back by transformers they give the same tokens, and special tokens, ends and template arrive."""

from __future__ import annotations

import json

import gguf
import pytest
from swift_plugin_gguf.exporter import GgufExporter
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.pre_tokenizers import NAMES, splits_of
from swift_plugin_gguf.tokens import read_tokens
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from swift_core.errors import UsageError
from swift_core.testing.rig import CHATML

TEXTS = ("The capital of France is Paris.", "Hello  there", "日本 é 🎉", "<s>don't 123 45</s>", "a\n\nb")
_CORPUS = ["the capital of france is paris the capital", "hello there hello", "abc abc abd 123"] * 4


def sentencepiece(folder, *, prefix: bool = True):
    """A BPE with a token for each byte, as SentencePiece's are in `tokenizer.json`, and a tiny Llama for it."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", "▁")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend.train_from_iterator(_CORPUS, trainers.BpeTrainer(vocab_size=330, special_tokens=specials[:3], show_progress=False))
    trained = json.loads(backend.to_str())
    vocabulary = [*specials, *(token for token in trained["model"]["vocab"] if token not in specials)]
    trained["model"]["vocab"] = {token: number for number, token in enumerate(vocabulary)}
    backend = Tokenizer.from_str(json.dumps(trained))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens([AddedToken("▁▁▁", normalized=False)])
    tokenizer.chat_template = CHATML
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer) + 3, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def exported(checkpoint, out):
    return GgufExporter(GgufOptions(type="f16")).export(checkpoint, out)


def value(file, key):
    return gguf.GGUFReader(file).fields[key].contents()


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_is_read_back(prefix, tmp_path):
    checkpoint = sentencepiece(tmp_path / "model", prefix=prefix)
    file = exported(checkpoint, tmp_path / "out")
    assert value(file, "tokenizer.ggml.model") == "llama"
    assert value(file, "tokenizer.ggml.add_bos_token") is True
    assert value(file, "tokenizer.ggml.add_space_prefix") is prefix
    types = value(file, "tokenizer.ggml.token_type")
    tokens = value(file, "tokenizer.ggml.tokens")
    kinds = {name: gguf.TokenType(types[tokens.index(name)]).name for name in ("<unk>", "<s>", "<0x41>", "   ", "the", tokens[-1])}
    assert kinds == {"<unk>": "UNKNOWN", "<s>": "CONTROL", "<0x41>": "BYTE", "   ": "USER_DEFINED", "the": "NORMAL", tokens[-1]: "UNUSED"}
    if prefix:  # transformers' reader takes every such file for one with a prefix
        ours, theirs = AutoTokenizer.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        for text in TEXTS[:3]:
            assert theirs(text).input_ids == ours(text).input_ids, text


def test_byte_level_is_read_back(tiny_model, tmp_path):
    file = exported(tiny_model, tmp_path / "out")
    assert value(file, "tokenizer.ggml.model") == "gpt2"
    assert value(file, "tokenizer.ggml.pre") == "gpt-2"
    assert value(file, "tokenizer.ggml.add_bos_token") is False
    ours, theirs = AutoTokenizer.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for text in TEXTS:
        assert theirs(text).input_ids == ours(text).input_ids, text
    turns = [{"role": "user", "content": "Hi"}]
    assert theirs.apply_chat_template(turns, tokenize=False) == ours.apply_chat_template(turns, tokenize=False)
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (ours.bos_token, ours.eos_token, ours.pad_token)


def test_the_end_of_a_turn_is_told_beside_the_end(tiny_model, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    assert read_tokens(folder, 320).stops == ["<|endoftext|>", "<|im_end|>"]


def byte_level(*before):
    steps = [
        *before,
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not any(isinstance(s, pre_tokenizers.Split) for s in before)),
    ]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return json.loads(backend.to_str())["pre_tokenizer"]


def test_ways_to_split_have_llama_cpps_names():
    for steps, name in NAMES.items():
        if len(steps) == 1 and "\\p" in steps[0]:
            assert splits_of(byte_level(pre_tokenizers.Split(Regex(steps[0]), "isolated")), "x") == name
    assert splits_of(byte_level(pre_tokenizers.Digits(individual_digits=True)), "x") == "smollm"
    assert splits_of(byte_level(), "x") == "gpt-2"
    for unknown in (None, byte_level(pre_tokenizers.Split(Regex("[a-z]"), "isolated")), byte_level(pre_tokenizers.Punctuation())):
        with pytest.raises(UsageError, match="no known tokenizer") as refused:
            splits_of(unknown, "tokenizer.json")
        assert "--pre-tokenizer" in refused.value.hint


def test_what_has_no_tokenizer_is_refused(tiny_model, tmp_path):
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        read_tokens(tmp_path, 320)
    with pytest.raises(UsageError, match="320 tokens, and the model embeddings for 300"):
        read_tokens(tiny_model, 300)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    with pytest.raises(UsageError, match="Unigram"):
        read_tokens(tmp_path, 320)
