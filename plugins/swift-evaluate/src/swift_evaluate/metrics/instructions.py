"""Verifiable instructions of IFEval: whether a text follows each, as J. Zhou et al. (2023, arXiv:2311.07911) check it.

Two of their checks need models that have to be downloaded: here sentences end at `.`, `!` or `?` (there: Punkt), and words in capitals are
letters and digits, with dots, hyphens and apostrophes among them (there: the Penn Treebank tokenizer).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from swift_core.contract import UsageError

Arguments = Mapping[str, Any]
Check = Callable[[str, Arguments], bool]

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_RELATIONS = {"less than": operator.lt, "at least": operator.ge}
_SENTENCE = re.compile(r"[^\s.!?][^.!?]*(?:[.!?](?=\w)[^.!?]*)*")
_CAPITAL = re.compile(r"\w+(?:[-'’.]\w+)*")
_FENCE = re.compile(r"```(?:json|Json|JSON)?")


def _compared(count: int, arguments: Arguments, limit: str, relation: str = "relation") -> bool:
    return bool(_RELATIONS[arguments[relation]](count, arguments[limit]))


def _found(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, flags=re.IGNORECASE))


def _paragraphs(text: str, arguments: Arguments) -> bool:
    parts = [bool(part.strip()) for part in re.split(r"\s?\*\*\*\s?", text)]
    return all(parts[1:-1]) and bool(sum(parts) == arguments["num_paragraphs"])


def _first_word(text: str, arguments: Arguments) -> bool:
    paragraphs = text.split("\n\n")
    count = sum(bool(part.strip()) for part in paragraphs)
    place = arguments["nth_paragraph"]
    words = paragraphs[place - 1].split() if place <= count else []
    word = re.match(r"""'*"*([^.,?!'"]*)""", words[0]) if words else None
    return bool(count == arguments["num_paragraphs"] and word and word[1].lower() == arguments["first_word"].lower())


def _postscript(text: str, arguments: Arguments) -> bool:
    marker = arguments["postscript_marker"].strip()
    pattern = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker, marker.lower())
    return bool(re.search(pattern, text.lower()))


def _highlights(text: str, arguments: Arguments) -> bool:
    single = [found for found in re.findall(r"\*[^\n*]*\*", text) if found.strip("*").strip()]
    double = [found for found in re.findall(r"\*\*[^\n*]*\*\*", text) if found[2:-2].strip()]
    return bool(len(single) + len(double) >= arguments["num_highlights"])


def _bullets(text: str, arguments: Arguments) -> bool:
    found = re.findall(r"^\s*\*[^*].*$", text, flags=re.MULTILINE) + re.findall(r"^\s*-.*$", text, flags=re.MULTILINE)
    return bool(len(found) == arguments["num_bullets"])


def _json(text: str, _arguments: Arguments) -> bool:
    text = text.strip()
    if begin := _FENCE.match(text):
        text = text[begin.end() :]
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(text: str, _arguments: Arguments) -> bool:
    parts = [part.strip() for part in text.split("******")]
    told = [part for part in parts if part]
    return all(parts[1:-1]) and len(told) == 2 and told[0] != told[1]


def _quoted(text: str, _arguments: Arguments) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _language(text: str) -> str:
    """Return the ISO 639-1 code of the language of a text; '' if it can't be told.

    Raises:
        UsageError: langdetect is not installed.
    """
    try:
        import langdetect
    except ImportError:
        raise UsageError(
            "ifeval needs langdetect for this instruction", code="EVAL-120", hint="pip install 'swift-evaluate[ifeval]'"
        ) from None
    langdetect.DetectorFactory.seed = 0  # it draws samples of the text
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return ""


def _english(text: str) -> bool:
    return _language(text) in ("en", "")


CHECKS: Mapping[str, Check] = {
    "keywords:existence": lambda text, given: all(_found(word, text) for word in given["keywords"]),
    "keywords:frequency": lambda text, given: _compared(_found(given["keyword"].strip(), text), given, "frequency"),
    "keywords:forbidden_words": lambda text, given: not any(_found(rf"\b{word}\b", text) for word in given["forbidden_words"]),
    "keywords:letter_frequency": lambda text, given: _compared(
        text.lower().count(given["letter"].lower()), given, "let_frequency", "let_relation"
    ),
    "language:response_language": lambda text, given: _language(text) in (given["language"], ""),
    "length_constraints:number_sentences": lambda text, given: _compared(len(_SENTENCE.findall(text)), given, "num_sentences"),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": lambda text, given: _compared(_found(r"\w+", text), given, "num_words"),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, given: _found(r"\[.*?\]", text) >= given["num_placeholders"],
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda text, given: any(option in text for option in _OPTIONS),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": lambda text, given: (
        len(re.split(rf"\s?{given['section_spliter'].strip()}\s?\d+\s?", text)) - 1 >= given["num_sections"]
    ),
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda text, given: any(found.strip("<>").strip() for found in re.findall(r"<<[^\n]+>>", text)),
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, given: text.strip().lower().startswith(given["prompt_to_repeat"].strip().lower()),
    "startend:end_checker": lambda text, given: text.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower()),
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": lambda text, given: _compared(
        sum(word.isupper() for word in _CAPITAL.findall(text)), given, "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": lambda text, given: text.isupper() and _english(text),
    "change_case:english_lowercase": lambda text, given: text.islower() and _english(text),
    "punctuation:no_comma": lambda text, given: "," not in text,
}
