"""The tokenizer as GGUF keys: tokens with their kinds, merges or scores, special tokens, and how text is split before.

GGUF has two of the tokenizers that checkpoints have: byte-level BPE (`gpt2`) and SentencePiece's BPE (`llama`). The first merges by the
order of its merges, the second by the score of what a merge gives, so the scores of ours are the order of the merges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import TokenType

from swift_core.checkpoint import read_manifest
from swift_core.errors import UsageError
from swift_plugin_gguf.pre_tokenizers import pairs_of, pre_tokenizer_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a GGUF file says of the tokenizer. `ids` are special tokens by GGUF's names for them; `stops` end an answer."""

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
        """The tokens that end an answer."""
        return list(dict.fromkeys(self.tokens[self.ids[name]] for name in ("eot", "eos") if name in self.ids))


def read_tokens(checkpoint: Path, size: int, pre_tokenizer: str = "") -> Tokens:
    """Read `tokenizer.json` and what lies beside it.

    Args:
        checkpoint: the folder.
        size: how many tokens have an embedding.
        pre_tokenizer: llama.cpp's name for how text is split, where the user knows it.

    Raises:
        UsageError: no tokenizer, one that GGUF does not have, or text split in a way that has no name.
    """
    file = checkpoint / "tokenizer.json"
    if not file.is_file():
        hint = "Load it with transformers' AutoTokenizer and save it into the folder, which writes one."
        raise UsageError("has no tokenizer.json", where=str(checkpoint), hint=hint)
    tokenizer, config = _json(file), _json(checkpoint / "tokenizer_config.json")
    model = tokenizer["model"]
    if model.get("type") != "BPE":
        raise UsageError(f"a tokenizer of the kind {model.get('type')}", where=str(file), hint="GGUF files here hold BPE alone.")
    sentencepiece = bool(model.get("byte_fallback"))
    added = {int(token["id"]): token for token in tokenizer.get("added_tokens") or ()}
    known = {int(number): text for text, number in model["vocab"].items()} | {number: each["content"] for number, each in added.items()}
    if max(known) >= size:
        message = f"the tokenizer has {max(known) + 1} tokens, and the model embeddings for {size}"
        raise UsageError(message, where=str(file), hint="They belong to different checkpoints, or tokens were added and not trained.")
    ids = dict(_special(checkpoint, config, {text: number for number, text in known.items()}))
    texts, types = [], []
    for number in range(size):
        text, kind = _token(number, known, added, ids, sentencepiece)
        texts.append(text)
        types.append(int(kind))
    begins, ends = _template_ends(tokenizer.get("post_processor"))
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
        add_space_prefix=sentencepiece and _prefixes(tokenizer),
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
    """Minus the place of the first merge that gives a token; SentencePiece merges what scores highest first."""
    places: dict[str, int] = {}
    for place, pair in enumerate(merges, 1):
        places.setdefault("".join(pair), place)
    last = len(merges) + 1
    return [-float(places.get(token, last)) for token in tokens]


def _special(checkpoint: Path, config: Mapping[str, Any], numbers: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Special tokens by GGUF's names, and the one that ends a turn, where that is another than the end token."""
    end = None
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        given = config.get(f"{ours}_token")
        text = given.get("content") if isinstance(given, Mapping) else given
        if text in numbers:
            end = numbers[text] if ours == "eos" else end
            yield theirs, numbers[text]
    manifest = read_manifest(checkpoint)
    stops = [numbers[text] for text in (manifest.template.get("stop", ()) if manifest else ()) if text in numbers]
    given = _json(checkpoint / "generation_config.json").get("eos_token_id")
    stops += given if isinstance(given, list) else [] if given is None else [given]
    turn = next((stop for stop in stops if stop != end), None)
    if turn is not None:
        yield "eot", turn


def _template_ends(processor: Mapping[str, Any] | None) -> tuple[bool, bool]:
    """Whether a text gets a special token in front, and one behind."""
    if not processor:
        return False, False
    if processor["type"] == "Sequence":
        found = [_template_ends(each) for each in processor["processors"]]
        return any(first for first, _ in found), any(last for _, last in found)
    single = processor.get("single") or []
    if not single:
        return False, False
    return "SpecialToken" in single[0], "SpecialToken" in single[-1]


def _prefixes(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a space is put before the text."""
    return any(step.get("type") == "Prepend" or step.get("prepend_scheme", "never") != "never" for step in _steps(tokenizer))


def _check_sentencepiece(tokenizer: Mapping[str, Any], where: str) -> None:
    """Refuse what readers of a SentencePiece vocabulary do not do to text: they write spaces as ▁, and put one in front, and no more."""
    for step in _steps(tokenizer):
        match step:
            case {"type": "Prepend", "prepend": "▁"} | {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
                continue
            case {"type": "Metaspace", "replacement": "▁", "split": False}:
                continue
            case {"type": "Split", "pattern": {"String": " "}}:  # Gemma's: no space is left to split at
                continue
        problem = f"text is changed or split before it is merged ({step.get('type')}), which a GGUF file can't say"
        raise UsageError(problem, where=where, hint="Export to another format.")


def _steps(tokenizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is done to text before it is merged: the normalizer's steps, and the pre-tokenizer's."""
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
        raise UsageError("not JSON", where=str(file), hint="Fetch the checkpoint again.") from None
