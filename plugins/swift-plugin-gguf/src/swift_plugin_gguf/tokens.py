"""The tokenizer as GGUF keys: tokens with their types, merges or scores, special tokens, and the pre-tokenizer.

Two tokenizer models are supported: byte-level BPE (`gpt2`) and SentencePiece BPE (`llama`). Byte-level BPE merges by the rank of a merge,
SentencePiece BPE by the score of the token that it produces; the scores written here are the negative ranks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import TokenType

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_plugin_gguf.pre_tokenizers import pairs_of, pre_tokenizer_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokenizer section of a GGUF file; `ids` maps GGUF's names of special tokens to their ids."""

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ids: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool = False
    template: str = ""

    @property
    def stops(self) -> list[str]:
        """The tokens that end a response."""
        return list(dict.fromkeys(self.tokens[self.ids[name]] for name in ("eot", "eos") if name in self.ids))


def read_tokens(checkpoint: Path, size: int, pre_tokenizer: str = "") -> Tokens:
    """Read the tokenizer, the special tokens and the chat template of a checkpoint.

    Args:
        checkpoint: the folder.
        size: the number of embeddings; missing tokens are padded.
        pre_tokenizer: llama.cpp's name of the pre-tokenizer; empty detects it.

    Raises:
        UsageError: there is no tokenizer.json, or GGUF can't represent its model, its normalizer or its pre-tokenizer.
    """
    file = checkpoint / "tokenizer.json"
    if not file.is_file():
        hint = "Load the tokenizer with transformers' AutoTokenizer and save it into the folder, which writes this file."
        raise UsageError("the checkpoint has no tokenizer.json", code="EXPORT-036", where=str(checkpoint), hint=hint)
    tokenizer, config = _json(file), _json(checkpoint / "tokenizer_config.json")
    model = tokenizer["model"]
    if model.get("type") != "BPE":
        raise UsageError(
            f"tokenizers of type {model.get('type')} are not supported", code="EXPORT-037", where=str(file), hint="Only BPE is."
        )
    sentencepiece = bool(model.get("byte_fallback"))
    added = {int(token["id"]): token for token in tokenizer.get("added_tokens") or ()}
    known = {int(number): text for text, number in model["vocab"].items()} | {number: each["content"] for number, each in added.items()}
    if max(known) >= size:
        message = f"the tokenizer has {max(known) + 1} tokens, but the model has {size} embeddings"
        raise UsageError(
            message, code="EXPORT-038", where=str(file), hint="Use the tokenizer of this checkpoint, or resize the model's embeddings."
        )
    ids = dict(_special(checkpoint, config, {text: number for number, text in known.items()}))
    texts, types = [], []
    for number in range(size):
        text, kind = _token(number, known, added, ids, sentencepiece)
        texts.append(text)
        types.append(int(kind))
    begins, ends = _adds_special_tokens(tokenizer.get("post_processor"))
    pairs = pairs_of(model["merges"])
    if sentencepiece:
        _check_sentencepiece(tokenizer, str(file))
    return Tokens(
        model="llama" if sentencepiece else "gpt2",
        pre=pre_tokenizer or ("default" if sentencepiece else pre_tokenizer_name(tokenizer, str(file))),
        tokens=texts,
        types=types,
        merges=[] if sentencepiece else [" ".join(pair) for pair in pairs],
        scores=_scores(texts, pairs) if sentencepiece else [],
        ids=ids,
        add_bos=bool(config.get("add_bos_token", begins)),
        add_eos=bool(config.get("add_eos_token", ends)),
        add_space_prefix=sentencepiece and _adds_space_prefix(tokenizer),
        template=_template(checkpoint, config),
    )


def _token(
    number: int, known: Mapping[int, str], added: Mapping[int, Mapping[str, Any]], ids: Mapping[str, int], sentencepiece: bool
) -> tuple[str, TokenType]:
    if number not in known:
        return f"[PAD{number}]", TokenType.UNUSED
    text = known[number]
    if sentencepiece and number == ids.get("unknown"):
        return text, TokenType.UNKNOWN
    if number in added:
        if added[number]["special"]:
            return text, TokenType.CONTROL
        return (text.replace("▁", " ") if sentencepiece else text), TokenType.USER_DEFINED
    if sentencepiece and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return text, TokenType.BYTE
    return text, TokenType.NORMAL


def _scores(tokens: list[str], merges: list[tuple[str, str]]) -> list[float]:
    """Return minus the rank of the first merge that produces each token; SentencePiece applies the highest score first."""
    places: dict[str, int] = {}
    for place, pair in enumerate(merges, 1):
        places.setdefault("".join(pair), place)
    last = len(merges) + 1
    return [-float(places.get(token, last)) for token in tokens]


def _special(checkpoint: Path, config: Mapping[str, Any], numbers: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield special tokens by GGUF's names, and the end-of-turn token if it differs from the end-of-sequence token."""
    end = None
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        given = config.get(f"{ours}_token")
        text = given.get("content") if isinstance(given, Mapping) else given
        if isinstance(text, str) and text in numbers:
            end = numbers[text] if ours == "eos" else end
            yield theirs, numbers[text]
    manifest = Checkpoint.at(checkpoint).manifest
    stops = [numbers[text] for text in (manifest.template.get("stop", ()) if manifest else ()) if text in numbers]
    given = _json(checkpoint / "generation_config.json").get("eos_token_id")
    stops += given if isinstance(given, list) else [] if given is None else [given]
    turn = next((stop for stop in stops if stop != end), None)
    if turn is not None:
        yield "eot", turn


def _adds_special_tokens(processor: Mapping[str, Any] | None) -> tuple[bool, bool]:
    """Return (adds a special token before the text, adds one after it)."""
    if not processor:
        return False, False
    if processor["type"] == "Sequence":
        found = [_adds_special_tokens(each) for each in processor["processors"]]
        return any(first for first, _ in found), any(last for _, last in found)
    single = processor.get("single") or []
    if not single:
        return False, False
    return "SpecialToken" in single[0], "SpecialToken" in single[-1]


def _adds_space_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Return True if a space is put before the text."""
    return any(step.get("type") == "Prepend" or step.get("prepend_scheme", "never") != "never" for step in _steps(tokenizer))


def _check_sentencepiece(tokenizer: Mapping[str, Any], where: str) -> None:
    """Reject normalizers and pre-tokenizers other than those of SentencePiece: ▁ for a space, and a space in front of the text."""
    for step in _steps(tokenizer):
        match step:
            case {"type": "Prepend", "prepend": "▁"} | {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
                continue
            case {"type": "Metaspace", "replacement": "▁", "split": False}:
                continue
            case {"type": "Split", "pattern": {"String": " "}}:  # Gemma's: no space is left to split at
                continue
        problem = f"the tokenizer has a step that GGUF can't represent: {step.get('type')}"
        raise UsageError(problem, code="EXPORT-039", where=where, hint="Export to another format.")


def _steps(tokenizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps of the normalizer and of the pre-tokenizer."""
    parts = [tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")]
    return [each for part in parts if part for each in part.get("normalizers", part.get("pretokenizers", [part]))]


def _template(checkpoint: Path, config: Mapping[str, Any]) -> str:
    file = checkpoint / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    given = config.get("chat_template") or ""
    if isinstance(given, list):
        given = next((each["template"] for each in given if each.get("name") == "default"), "")
    return str(given)


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError:
        raise UsageError("the file is not valid JSON", code="EXPORT-040", where=str(file), hint="Download the checkpoint again.") from None
