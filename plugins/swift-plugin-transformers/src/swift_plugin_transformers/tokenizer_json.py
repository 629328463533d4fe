"""Use tokenizer.json as it is if the class that tokenizer_config.json names would build a different tokenizer.

transformers 5 reads vocabulary and merges from the file and lets the class replace normalizer and pre-tokenizer: with SmolLM2's class
(`GPT2Tokenizer`) the splitting of digits is lost, and 12345 becomes other tokens than in training.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_train.processors import tokenizer_of

log = logging.getLogger(__name__)

_PROBES = (
    "In 2024, 12345 people said: don't, I'LL, we've; 3.14159 + 1,234,567 = ½ ² ٣٤٥ ५६",
    "  two spaces, a   b    c \n\n\n  def f(x):\n\treturn x**2  # power\r\n   \n   x  ",
    "CamelCaseWord XMLHttpRequest ÀÉÎ straße Привет, мир! Ёлка γειά שלום مرحبا नमस्ते สวัสดี 안녕하세요",
    "こんにちは世界。你好，世界！今天是2024年 日本語とEnglish混在123 🎉👩\u200d👩\u200d👧 e\u0301 cafe\u0301 é \u00a0nbsp\u3000x ﬁ",
    "https://example.com/a/b?c=d&e=%20#f C:\\path <div class=\"a\">&amp;</div> ----====#### …—– $100 €5 `~^|` “curly” a_b__c-d",
)  # fmt: skip


def prefer_tokenizer_json(processor: Any, folder: Path, common: Mapping[str, Any]) -> Any:
    """Return the tokenizer or processor; its tokenizer is replaced by `PreTrainedTokenizerFast` if that tokenizes differently."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = tokenizer_of(processor)
    if type(tokenizer) is PreTrainedTokenizerFast or not tokenizer.is_fast or not (folder / "tokenizer.json").is_file():
        return processor
    stored: Any = PreTrainedTokenizerFast.from_pretrained(folder, **common)
    if all(_ids(tokenizer, text) == _ids(stored, text) for text in _PROBES):
        return processor
    log.warning("%s: %s would tokenize differently; the file is used as it is", folder / "tokenizer.json", type(tokenizer).__name__)
    stored.chat_template = tokenizer.chat_template
    if tokenizer is processor:
        return stored
    processor.tokenizer = stored
    return processor


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
