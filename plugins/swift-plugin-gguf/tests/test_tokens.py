"""Tokenizers in GGUF files: read back by transformers they give the same tokens, special tokens, stop tokens and chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest
from swift_plugin_gguf.exporter import GgufExporter
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.pre_tokenizers import pre_tokenizer_name
from swift_plugin_gguf.tokens import read_tokens
from swift_plugin_transformers.gguf_tokenizer import read_tokenizer
from swift_testing.codes import coded
from swift_testing.rig import CHATML
from swift_train.pre_tokenizers import SPLITTINGS
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from swift_core.contract.errors import UsageError

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
    if prefix:  # transformers' reader assumes a prefix in every such file
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


HARD = (
    "In 2024, 12345 people; 3.14159 + 1,234,567 ½ ٣٤٥",
    "don't I'LL we've  two   spaces\t\n\n\n  def f(x):\r\n   return x**2   ",
    "CamelCase XMLHttp Привет, мир! नमस्ते 你好，世界！今天2024年 e\u0301 é 🎉 \u00a0x",
    "<|im_start|>user\n12<|im_end|> //// ---- …!?\n x",
)


@pytest.mark.parametrize(
    "name", ["smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-v3", "falcon", "olmo", "viking"]
)
def test_tokens_are_the_same_after_a_round_trip(name, tiny_model, tmp_path):
    """The merges of this vocabulary cross words, digits and spaces, so that its tokens depend on the pre-tokenizer."""
    checkpoint = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend.train_from_iterator(
        HARD * 3, trainers.BpeTrainer(vocab_size=320, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    )
    stored = json.loads(backend.to_str())
    splitting = SPLITTINGS[name]
    stored["model"]["ignore_merges"] = splitting.ignore_merges
    stored |= {"pre_tokenizer": splitting.pre_tokenizer(), "normalizer": {"type": "NFC"} if splitting.nfc else None}
    stored["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    (checkpoint / "tokenizer.json").write_text(json.dumps(stored))
    file = exported(checkpoint, tmp_path / "out")
    ours, theirs = Tokenizer.from_file(str(checkpoint / "tokenizer.json")), read_tokenizer(gguf.GGUFReader(file), file)
    for text in HARD:
        assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text, add_special_tokens=False).ids, text
    assert theirs.chat_template == CHATML


def test_the_end_of_turn_token_is_a_stop_token(tiny_model, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    assert read_tokens(folder, 320).stops == ["<|endoftext|>", "<|im_end|>"]


def tokenizer_json(*steps, normalizer=None, use_regex=False, add_prefix_space=False, **model):
    """A byte-level tokenizer.json with these steps before its own, and no vocabulary to speak of."""
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    last = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*steps, last])
    if normalizer:
        backend.normalizer = normalizer
    known = json.loads(backend.to_str())
    return known | {"model": known["model"] | model}


@pytest.mark.parametrize("name", SPLITTINGS)
def test_pre_tokenizers_have_llama_cpps_names(name):
    splitting = SPLITTINGS[name]
    backend = Tokenizer.from_str(json.dumps(tokenizer_json() | {"pre_tokenizer": splitting.pre_tokenizer()}))
    stored = json.loads(backend.to_str())
    found = pre_tokenizer_name(stored | {"normalizer": {"type": "NFC"} if splitting.nfc else None}, "x")
    assert SPLITTINGS[found].splits == splitting.splits


def test_the_name_implies_ignore_merges_and_the_normalizer():
    llama3 = [pre_tokenizers.Split(Regex(SPLITTINGS["llama-bpe"].splits[0]), "isolated")]
    assert pre_tokenizer_name(tokenizer_json(*llama3, ignore_merges=True), "x") == "llama-bpe"
    assert pre_tokenizer_name(tokenizer_json(*llama3), "x") == "smaug-bpe"
    assert pre_tokenizer_name(tokenizer_json(pre_tokenizers.Digits(individual_digits=True), use_regex=True), "x") == "smollm"
    assert pre_tokenizer_name(tokenizer_json(use_regex=True), "x") == "gpt-2"
    qwen = [pre_tokenizers.Split(Regex(SPLITTINGS["qwen2"].splits[0]), "isolated")]
    assert pre_tokenizer_name(tokenizer_json(*qwen, normalizer=normalizers.NFC()), "x") == "qwen2"
    assert pre_tokenizer_name(tokenizer_json(use_regex=True, ignore_merges=True), "x") == "gpt-2"  # its merges produce all of its tokens
    with pytest.raises(UsageError, check=coded("EXPORT-030"), match="'cc' is matched as a whole, which no merge produces"):
        pre_tokenizer_name(tokenizer_json(use_regex=True, ignore_merges=True, vocab={"c": 0, "cc": 1}), "x")


@pytest.mark.parametrize(
    "unknown",
    [
        tokenizer_json() | {"pre_tokenizer": None},
        tokenizer_json(pre_tokenizers.Split(Regex("[a-z]"), "isolated")),
        tokenizer_json(pre_tokenizers.Punctuation(), use_regex=True),
        tokenizer_json(use_regex=True, add_prefix_space=True),
    ],
)
def test_pre_tokenizers_without_a_name_are_rejected(unknown):
    with pytest.raises(UsageError, check=coded("EXPORT-029")) as refused:
        pre_tokenizer_name(unknown, "tokenizer.json")
    assert "--pre-tokenizer" in refused.value.hint


def test_unsupported_normalizers_are_rejected(tmp_path):
    with pytest.raises(UsageError, check=coded("EXPORT-031"), match="Lowercase"):
        pre_tokenizer_name(tokenizer_json(normalizer=normalizers.Lowercase(), use_regex=True), "tokenizer.json")
    folder = sentencepiece(tmp_path / "model")
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(stored | {"normalizer": {"type": "NFKC"}}))
    with pytest.raises(UsageError, check=coded("EXPORT-039"), match="NFKC"):
        exported(folder, tmp_path / "out")


def test_unsupported_tokenizers_are_rejected(tiny_model, tmp_path):
    with pytest.raises(UsageError, check=coded("EXPORT-036"), match=r"no tokenizer\.json"):
        read_tokens(tmp_path, 320)
    with pytest.raises(UsageError, check=coded("EXPORT-038"), match=r"320.*has 300"):
        read_tokens(tiny_model, 300)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    with pytest.raises(UsageError, check=coded("EXPORT-037"), match="Unigram"):
        read_tokens(tmp_path, 320)
