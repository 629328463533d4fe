r"""Pre-tokenizers of byte-level BPE vocabularies, by llama.cpp's names, which GGUF files carry in `tokenizer.ggml.pre`.

Each entry is the `pre_tokenizer` of the authors' own tokenizer.json, also if llama.cpp approximates it (it has no `\p{Lu}`). Unknown names
are refused, since another pre-tokenizer gives other token ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DIGITS = r"\p{N}"

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
_SEED = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
_EXAONE_MOE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
_PUNCTUATION = r"[\p{P}$+<=>^~|`]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """Regular expressions applied in order, each to the pieces that the previous one left.

    Attributes:
        splits: the expressions.
        ignore_merges: a piece that is in the vocabulary becomes one token, without applying merges.
        add_bos: texts begin with the BOS token unless the file sets `tokenizer.ggml.add_bos_token`.
        nfc: the authors' tokenizers normalize to NFC first; a GGUF file has no field for this.
    """

    splits: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    nfc: bool = False

    def pre_tokenizer(self) -> dict[str, Any]:
        """Return the `pre_tokenizer` section of a tokenizer.json."""
        gpt2 = self.splits[-1] == GPT2
        steps: list[dict[str, Any]] = [
            {"type": "Digits", "individual_digits": True}
            if split == DIGITS
            else {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
            for split in (self.splits[:-1] if gpt2 else self.splits)
        ]
        steps.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": gpt2})
        return {"type": "Sequence", "pretokenizers": steps}


SPLITTINGS: Mapping[str, Splitting] = {
    **dict.fromkeys(("gpt-2", "phi-2", "jais", "exaone4", "trillion", "granite-docling", "mellum", "a.x-4.0"), Splitting(splits=(GPT2,))),
    **dict.fromkeys(("olmo", "mpt"), Splitting(splits=(GPT2,), nfc=True)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"), Splitting(splits=(DIGITS, GPT2))),
    "command-r": Splitting(splits=(DIGITS, GPT2), nfc=True),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        Splitting(splits=(_LLAMA3,), ignore_merges=True, add_bos=True),
    ),
    **dict.fromkeys(("glm4", "glm5"), Splitting(splits=(_LLAMA3,), ignore_merges=True)),
    **dict.fromkeys(("smaug-bpe", "dbrx", "chatglm-bpe"), Splitting(splits=(_LLAMA3,))),
    "qwen2": Splitting(splits=(_QWEN2,), nfc=True),
    **dict.fromkeys(
        ("deepseek-r1-qwen", "megrez", "kormo", "f2llmv2", "stablelm2", "hunyuan", "solar-open", "grok-2"), Splitting(splits=(_QWEN2,))
    ),
    "qwen35": Splitting(splits=(_QWEN35,), nfc=True),
    "tekken": Splitting(splits=(_TEKKEN,), ignore_merges=True, add_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), Splitting(splits=(_GPT4O,))),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm"), Splitting(splits=(r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", _DEEPSEEK3))),
    "deepseek-coder": Splitting(splits=("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", DIGITS)),
    "falcon": Splitting(splits=(_PUNCTUATION, GPT2, "[0-9][0-9][0-9]")),
    **dict.fromkeys(("bloom", "gpt3-finnish", "poro-chat"), Splitting(splits=(_BLOOM,))),
    "viking": Splitting(splits=(_BLOOM, DIGITS)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Splitting(splits=(_BAILING,))),
    "seed-coder": Splitting(splits=(_SEED,)),
    "exaone-moe": Splitting(splits=(_EXAONE_MOE,)),
    "minicpm5": Splitting(splits=(r"\p{N}{1,3}", _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}+")), ignore_merges=True),
}


def splits_of(pre_tokenizer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the expressions that a `pre_tokenizer` section splits by; an unknown step is yielded as its JSON."""
    match pre_tokenizer:
        case {"type": "Sequence", "pretokenizers": steps}:
            for each in steps:
                yield from splits_of(each)
        case {"type": "ByteLevel", "add_prefix_space": True}:
            yield "a space in front of the text"
        case {"type": "ByteLevel"}:
            if pre_tokenizer.get("use_regex", True):
                yield GPT2
        case {"type": "Digits", "individual_digits": True}:
            yield DIGITS
        case {"type": "Punctuation", "behavior": "Contiguous"}:
            yield _PUNCTUATION
        case {"type": "Split", "pattern": {"Regex": str(expression)}, "behavior": "Isolated"} if not pre_tokenizer.get("invert"):
            yield expression
        case {}:
            yield str(dict(pre_tokenizer))
