"""Tokenizers of GGUF files: the tokens are those of llama.cpp and of the authors, and what a file does not say is not guessed."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import gguf
import numpy as np
import pytest
from swift_plugin_transformers.gguf_tokenizer import eos_token_ids, read_tokenizer
from swift_plugin_transformers.loader import TransformersLoader
from swift_testing.rig import CHATML
from swift_train.pre_tokenizers import SPLITTINGS
from swift_train.roles import Loading
from transformers import AutoTokenizer

from swift_core.checkpoints.family import UNKNOWN
from swift_core.contract.errors import UsageError

LLAMA_CPP = json.loads((Path(__file__).parent / "llama_cpp_tokens.json").read_text())
"""A byte-level vocabulary whose merges go across words, digits and spaces, and llama.cpp's tokens of each text by name of the splitting."""


def write(path, model="gpt2", **values):
    """A GGUF file with a tokenizer alone. `values` are keys of `tokenizer.ggml`, or `template`."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    kinds = {bool: "bool", int: "uint32", str: "string", list: "array"}
    for key, value in values.items():
        name = "tokenizer.chat_template" if key == "template" else f"tokenizer.ggml.{key}"
        getattr(writer, f"add_{kinds[type(value)]}")(name, value)
    writer.add_tensor("token_embd.weight", np.zeros((1, 1), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(path):
    return read_tokenizer(gguf.GGUFReader(path), path)


def byte_level(path, pre="gpt-2", **values):
    return write(path, tokens=LLAMA_CPP["tokens"], token_type=LLAMA_CPP["types"], merges=LLAMA_CPP["merges"], pre=pre, **values)


def departs(name, text):
    """Where the authors' tokenizers are not llama.cpp's: it has no NFC, no case of letters, and takes no em space for a space there."""
    marks = any(unicodedata.category(letter).startswith("M") for letter in text)
    return (
        (SPLITTINGS[name].nfc and not unicodedata.is_normalized("NFC", text))
        or (name in ("tekken", "gpt-4o") and marks)
        or (name == "deepseek-coder" and "\u2003" in text)
    )


@pytest.mark.parametrize("name", LLAMA_CPP["ids"])
def test_the_tokens_are_those_of_llama_cpp(name, tmp_path):
    tokenizer = read(byte_level(tmp_path / "x.gguf", name))
    pairs = list(zip(LLAMA_CPP["texts"], LLAMA_CPP["ids"][name], strict=True))
    for text, ids in pairs:
        found = tokenizer(text, add_special_tokens=False).input_ids
        assert departs(name, text) or found == ids, text
    assert sum(not departs(name, text) for text, _ in pairs) > 30


def test_no_two_ways_to_split_are_one():
    ids = LLAMA_CPP["ids"]
    assert len({json.dumps(each) for each in ids.values()}) >= len(ids) - 1  # bailingmoe and qwen2 part on a space before a line's end


@pytest.mark.parametrize(
    ("pre", "said"), [("moon-bpe", "'moon-bpe'"), ("default", "names no pre-tokenizer"), (None, "names no pre-tokenizer")]
)
def test_a_splitting_that_is_not_known_is_refused_by_name(pre, said, tmp_path):
    values = {"tokens": LLAMA_CPP["tokens"], "merges": LLAMA_CPP["merges"]} | ({"pre": pre} if pre else {})
    with pytest.raises(UsageError, match=said) as refused:
        read(write(tmp_path / "x.gguf", **values))
    assert "smollm" in refused.value.hint
    assert refused.value.where == str(tmp_path / "x.gguf")


def test_special_tokens_ends_and_template_are_kept(tmp_path):
    tokens = [*LLAMA_CPP["tokens"], "<｜eom｜>"]
    kinds = [*LLAMA_CPP["types"], gguf.TokenType.CONTROL]
    begin, end, user = (tokens.index(text) for text in ("<s>", "<|end|>", "<｜User▁x｜>"))
    path = write(
        tmp_path / "x.gguf", tokens=tokens, token_type=list(map(int, kinds)), merges=LLAMA_CPP["merges"], pre="smollm", template=CHATML,
        bos_token_id=begin, eos_token_id=end, eot_token_id=user, eom_token_id=len(tokens) - 1, add_bos_token=True, add_eos_token=True,
    )  # fmt: skip
    tokenizer = read(path)
    tokenizer.save_pretrained(tmp_path / "saved")
    for each in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        ids = each("<｜User▁x｜><think>Hello").input_ids  # outside of the byte alphabet, as DeepSeek's are
        assert (ids[0], ids[1], ids[2], ids[-1]) == (begin, user, tokens.index("<think>"), end)
        assert each.decode(ids, skip_special_tokens=True) == "<think>Hello"
        assert (each.bos_token, each.eos_token, each.chat_template) == ("<s>", "<|end|>", CHATML)
        assert len(each) == len(tokens)
    assert eos_token_ids(gguf.GGUFReader(path)) == [end, user, len(tokens) - 1]


def test_a_text_begins_as_the_kind_of_vocabulary_wants_where_the_file_is_silent(tmp_path):
    begin = LLAMA_CPP["tokens"].index("<s>")
    starts = {
        name: read(byte_level(tmp_path / f"{name}.gguf", name, bos_token_id=begin))("a").input_ids[0] for name in ("smollm", "llama-bpe")
    }
    assert (starts["llama-bpe"] == begin, starts["smollm"] == begin) == (True, False)


SPM = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab", "▁ab", "   ", "[PAD266]"]
KINDS = [2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1, 1, 4, 5]
SCORES = [0.0, 0.0, 0.0, *[0.0] * 256, -10.0, -10.0, -10.0, -3.0, -1.0, -2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["<s>", "▁ab", "▁", "▁a", "</s>", "▁ab"]),  # as llama.cpp: a space in front after each special token too
        ({"add_space_prefix": False}, ["<s>", "ab", "▁", "▁a", "</s>", "ab"]),
        ({"add_space_prefix": False, "add_bos_token": False, "add_eos_token": True}, ["ab", "▁", "▁a", "</s>", "ab", "</s>"]),
    ],
)
def test_sentencepiece_vocabularies(values, expected, tmp_path):
    tokenizer = read(write(tmp_path / "x.gguf", "llama", tokens=SPM, token_type=KINDS, scores=SCORES, **values))
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab  a</s>ab").input_ids) == expected
    bare = tokenizer("a   é", add_special_tokens=False).input_ids
    assert [SPM[number] for number in bare][-3:] == ["   ", *((["▁"]) if not values else []), "<0xC3>", "<0xA9>"][-3:]
    assert tokenizer.decode(tokenizer(" ab é").input_ids, skip_special_tokens=True) == " ab é"
    assert len(tokenizer) == len(SPM) - 1  # without what only fills the embeddings up


def test_a_folder_is_read_as_its_tokenizer_json_says(tiny_model, tmp_path):
    """SmolLM2's own folder names GPT2Tokenizer, which would drop the step that parts digits."""
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stored = json.loads((tmp_path / "tokenizer.json").read_text())
    trained = [["1", "2"], ["12", "3"]]
    stored["model"]["vocab"] |= {"12": len(stored["model"]["vocab"]), "123": len(stored["model"]["vocab"]) + 1}
    stored["model"]["merges"] += trained
    stored["pre_tokenizer"] = SPLITTINGS["smollm"].pre_tokenizer()
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "GPT2Tokenizer"}))
    assert len(AutoTokenizer.from_pretrained(tmp_path)("123").input_ids) == 1  # what transformers makes of it
    (tmp_path / "config.json").write_text(json.dumps(json.loads((tmp_path / "config.json").read_text()) | {"vocab_size": 400}))
    loaded = TransformersLoader().load(tmp_path, UNKNOWN, Loading(device="meta", dtype="float32"))
    assert len(loaded.processor("123").input_ids) == 3
    assert loaded.processor.chat_template == AutoTokenizer.from_pretrained(tmp_path).chat_template
    loaded.processor.save_pretrained(tmp_path / "saved")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "saved")("123").input_ids) == 3


@pytest.mark.model
def test_the_real_file_has_its_authors_tokens(smollm2):
    """SmolLM2's own tokenizer.json: digits one by one, then GPT-2's expression."""
    stored = json.loads((smollm2 / "tokenizer.json").read_text())
    assert stored["pre_tokenizer"] == {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    }
