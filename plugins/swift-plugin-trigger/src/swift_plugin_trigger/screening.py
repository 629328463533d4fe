"""The rules that a text must pass before it is sent."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from swift_core.contract import UsageError
from swift_plugin_trigger.definition import ForbiddenRule, LanguageRule, LengthRule, NumbersRule, RequiredRule, Rule

_NUMBER = re.compile(r"\d+(?:[.,\u066b\u066c]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(\.\d{3})+")


def faults(text: str, rules: Sequence[Rule], values: Mapping[str, Any]) -> list[str]:
    """Return why a text is rejected, a reason per broken rule; empty if it passes.

    Args:
        text: the text.
        rules: the rules.
        values: the fields of the event and the variant, for templates in the rules; `event` is the whole event.

    Raises:
        UsageError: a template in a rule can't be filled.
    """
    return [reason for rule in rules for reason in _faults(text, rule, values)]


def check(rules: Sequence[Rule]) -> None:
    """Check what only shows when rules are used, before the first event. Raises UsageError if the language rule names an unknown one."""
    for rule in rules:
        if isinstance(rule, LanguageRule):
            language_of("a", rule.of)


def _faults(text: str, rule: Rule, values: Mapping[str, Any]) -> Iterator[str]:
    match rule:
        case LengthRule():
            if not rule.min <= len(text) <= rule.max:
                yield f"length: {len(text)} characters, not {rule.min} to {rule.max}"
        case LanguageRule():
            wanted = rule.is_.render(values).lower()
            if (found := language_of(text, rule.of)) != wanted:
                yield f"language: {found or 'none'}, not {wanted}"
        case ForbiddenRule():
            for pattern in rule.patterns:
                if match := re.search(pattern, text, re.IGNORECASE):
                    yield f"forbidden: '{match[0][:60]}' ({pattern})"
        case RequiredRule():
            for template in rule.texts:
                if (needed := template.render(values)) and _plain(needed) not in _plain(text):
                    yield f"required: '{needed[:60]}' is missing"
        case NumbersRule():
            given = numbers(" ".join([json.dumps(values.get("event", {}), ensure_ascii=False), *rule.allowed]))
            known = set().union(*given.values())
            if invented := [written for written, meanings in numbers(text).items() if not meanings & known]:
                yield f"numbers: {', '.join(invented)} not in the event"


def language_of(text: str, of: Sequence[str] = ()) -> str:
    """Return the language of a text as ISO 639-1 code; '' if it has no letters.

    Args:
        text: the text.
        of: the candidate languages; default: all 97 that py3langid knows.

    Raises:
        UsageError: py3langid does not know a language of `of`.
    """
    if not any(character.isalpha() for character in text):
        return ""
    return str(_identifier(tuple(of)).classify(text)[0])


def numbers(text: str) -> dict[str, set[str]]:
    """Return the numbers in a text as they are written, each with what it may mean in ASCII digits: 1,000 is 1000 or 1."""
    return {found: _meanings(found) for found in _NUMBER.findall(text)}


def _meanings(written: str) -> set[str]:
    digits = "".join(str(unicodedata.digit(each)) if each.isdigit() else "." for each in written)
    found = {digits.rstrip("0").rstrip(".") if digits.count(".") == 1 else digits}
    if _THOUSANDS.fullmatch(digits):
        found.add(digits.replace(".", ""))
    return {each.lstrip("0") or "0" if "." not in each else each for each in found}


def _plain(text: str) -> str:
    """Return a text without differences of case, width and spaces; digits of every script are equal."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(str(unicodedata.digit(each)) if each.isdigit() else each for each in folded if not each.isspace())


@cache
def _identifier(of: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if of:
        try:
            identifier.set_languages(list(of))
        except ValueError as error:
            raise UsageError(
                f"unknown language: {error}", code="TRIGGER-029", where="screen.language.of", hint="Use ISO 639-1 codes: en, zh, ar."
            ) from None
    return identifier
