"""Build the tokenizer that a GGUF file's metadata describes, with the same tokens as the original tokenizer.

transformers' GGUF reader supports few of llama.cpp's pre-tokenizers and uses GPT-2's for all others; it drops control tokens outside of
the byte alphabet, and always adds a space before the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_train.pre_tokenizers import SPLITTINGS, Splitting

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from gguf import GGUFReader

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5  # gguf.TokenType
_SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "sep": "seperator", "mask": "mask"}  # sic: "seperator"
_SPACE = "▁"


def read_tokenizer(reader: GGUFReader, file: Path) -> Any:
    """Return the tokenizer, byte-level BPE or SentencePiece BPE; None for other kinds, which transformers reads or rejects.

    Raises:
        UsageError: the pre-tokenizer is unknown, or the metadata is inconsistent.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    kind = _value(reader, "model")
    if kind not in ("gpt2", "llama"):
        return None
    tokens: list[str] = _value(reader, "tokens")
    special = {ours: tokens[number] for ours, number in _special_ids(reader, kind, len(tokens)).items()}
    parts = _byte_level(reader, tokens, file) if kind == "gpt2" else _sentencepiece(reader, tokens, special["unk"])
    parts["added_tokens"] = list(_added(reader, tokens, set(special.values())))
    try:
        backend = Tokenizer.from_str(json.dumps({"version": "1.0", "truncation": None, "padding": None, **parts}))
    except Exception as error:  # tokenizers raises plain Exception
        raise UsageError(
            f"invalid tokenizer metadata: {error}", code="MODEL-012", where=str(file), hint="Fetch the model again, or use another file."
        ) from error
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, clean_up_tokenization_spaces=False, **{f"{name}_token": text for name, text in special.items()}
    )
    tokenizer.chat_template = _value(reader, "chat_template", group="tokenizer")
    return tokenizer


def eos_token_ids(reader: GGUFReader) -> list[int]:
    """Return the ids of the end tokens in the file's metadata: end of sequence, of turn, of message."""
    found = (_value(reader, f"{name}_token_id") for name in ("eos", "eot", "eom"))
    return list(dict.fromkeys(int(number) for number in found if number is not None))


def _byte_level(reader: GGUFReader, tokens: list[str], file: Path) -> dict[str, Any]:
    splitting = _splitting(_value(reader, "pre", ""), file)
    merges = [_pair(merge) for merge in _value(reader, "merges", [])]
    return {
        "normalizer": {"type": "NFC"} if splitting.nfc else None,
        "pre_tokenizer": splitting.pre_tokenizer(),
        "post_processor": _post_processor(reader, tokens, bos=splitting.add_bos),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": _bpe(_vocabulary(reader, tokens), merges) | {"ignore_merges": splitting.ignore_merges},
    }


def _splitting(name: str, file: Path) -> Splitting:
    if name in SPLITTINGS:
        return SPLITTINGS[name]
    problem = f"unknown pre-tokenizer '{name}'" if name not in ("", "default") else "the file names no pre-tokenizer"
    raise UsageError(
        f"{problem} (tokenizer.ggml.pre)",
        code="MODEL-013",
        where=str(file),
        hint="Use the model's safetensors. If you know llama.cpp's name for it: gguf-new-metadata --pre-tokenizer NAME IN OUT. "
        f"Known names: {', '.join(sorted(SPLITTINGS))}.",
    )


def _sentencepiece(reader: GGUFReader, tokens: list[str], unknown: str) -> dict[str, Any]:
    prefix = bool(_value(reader, "add_space_prefix", True))
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    before = [{"type": "Prepend", "prepend": _SPACE}] if prefix else []
    after = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    vocabulary = _vocabulary(reader, tokens)
    merges = list(_merges(vocabulary, [float(score) for score in _value(reader, "scores", [0.0] * len(tokens))]))
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*before, spaces]},
        "pre_tokenizer": None,
        "post_processor": _post_processor(reader, tokens, bos=True),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *after,
            ],
        },
        "model": _bpe(vocabulary, merges) | {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True},
    }


def _merges(vocabulary: Mapping[str, int], scores: list[float]) -> Iterator[tuple[str, str]]:
    """Yield all pairs that form a token, by descending score: the order in which SentencePiece merges."""
    for token, _ in sorted(vocabulary.items(), key=lambda item: (-scores[item[1]], item[1])):
        for end in range(1, len(token)):
            if token[:end] in vocabulary and token[end:] in vocabulary:
                yield token[:end], token[end:]


def _bpe(vocabulary: Mapping[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocabulary, "merges": merges}


def _vocabulary(reader: GGUFReader, tokens: list[str]) -> dict[str, int]:
    """Return the id of each token, without unused tokens that only pad the embedding matrix (`[PAD123]`)."""
    kinds = _value(reader, "token_type", [_NORMAL] * len(tokens))
    return {token: number for number, token in enumerate(tokens) if not (kinds[number] == _UNUSED and token == f"[PAD{number}]")}


def _added(reader: GGUFReader, tokens: list[str], special: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the added tokens, which are matched before pre-tokenization: control, special and user-defined tokens."""
    kinds = _value(reader, "token_type", [_NORMAL] * len(tokens))
    for number, token in enumerate(tokens):
        control = kinds[number] in (_CONTROL, _UNKNOWN) or token in special
        if control or kinds[number] == _USER_DEFINED:
            flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            yield {"id": number, "content": token, "special": control, **flags}


def _post_processor(reader: GGUFReader, tokens: list[str], *, bos: bool) -> dict[str, Any]:
    """Return the post-processor that adds BOS and EOS as the file's metadata says."""
    first = _value(reader, "bos_token_id", 1 if _value(reader, "model") == "llama" else None)
    last = _value(reader, "eos_token_id", 2 if _value(reader, "model") == "llama" else None)
    before = [int(first)] if first is not None and _value(reader, "add_bos_token", bos) else []
    after = [int(last)] if last is not None and _value(reader, "add_eos_token", False) else []

    def around(*names: str) -> list[dict[str, Any]]:
        one = [{"Sequence": {"id": name, "type_id": number}} for number, name in enumerate(names)]
        ends = [[{"SpecialToken": {"id": tokens[number], "type_id": 0}} for number in numbers] for numbers in (before, after)]
        return [*ends[0], *one, *ends[1]]

    known = {tokens[number]: {"id": tokens[number], "ids": [number], "tokens": [tokens[number]]} for number in (*before, *after)}
    return {"type": "TemplateProcessing", "single": around("A"), "pair": around("A", "B"), "special_tokens": known}


def _special_ids(reader: GGUFReader, kind: str, size: int) -> dict[str, int]:
    """Return the ids of special tokens by transformers' names; for SentencePiece, missing ones have default ids."""
    defaults = {"bos": 1, "eos": 2, "unk": 0} if kind == "llama" else {}
    found = {ours: _value(reader, f"{theirs}_token_id", defaults.get(ours)) for ours, theirs in _SPECIAL.items()}
    return {ours: int(number) for ours, number in found.items() if number is not None and int(number) < size}


def _pair(merge: str) -> tuple[str, str]:
    """Split a merge into its two tokens; the first may begin with a space."""
    place = merge.find(" ", 1)
    return merge[:place], merge[place + 1 :]


def _value(reader: GGUFReader, key: str, default: Any = None, *, group: str = "tokenizer.ggml") -> Any:
    field = reader.fields.get(f"{group}.{key}")
    return default if field is None else field.contents()
