"""Personal data with a form: found by a pattern, and confirmed by its check digits or number plan.

Presidio was tried and is not used: it needs 390 MB and 54 packages, looks up a list on the network while it analyses, and its patterns find
nothing beside Chinese characters, which `\\b` takes for letters.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from swift_data.personal_data import Found

_REGIONS = ("CN", "US")  # whose national phone numbers are known; international ones (+49 …) are found anyway
_BEFORE, _AFTER = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"  # only ASCII: beside Chinese characters, too


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(_BEFORE + text + _AFTER, re.ASCII)


_EMAIL = re.compile(
    r"(?<![\w.+-])[a-z0-9][a-z0-9._%+-]*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?![a-z0-9])", re.ASCII | re.IGNORECASE
)
_CARD = _pattern(r"[2-6]\d{3}(?:[ -]?\d){9,15}")
_IBAN = _pattern(r"[A-Z]{2}\d{2}(?: ?[0-9A-Z]){11,30}")
_RESIDENT = _pattern(r"[1-9]\d{16}[\dXx]")
_SSN = _pattern(r"\d{3}-\d{2}-\d{4}")
_IP = re.compile(r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w:]|\.\d)", re.ASCII | re.IGNORECASE)
_PHONE = re.compile(r"\d(?:[\s().-]{0,2}\d){6}")


class Patterns:
    """The detector."""

    def find(self, text: str) -> Iterator[Found]:
        """Yield e-mail addresses, phone and card numbers, accounts, resident ids and IP addresses."""
        for kind, pattern, valid in _CHECKED:
            for match in pattern.finditer(text):
                if valid(match[0]):
                    yield Found(kind, match.start(), match.end())
        if _PHONE.search(text):
            yield from _phones(text)


def _phones(text: str) -> Iterator[Found]:
    from phonenumbers import PhoneNumberMatcher

    for region in _REGIONS:
        for match in PhoneNumberMatcher(text, region):
            yield Found("PHONE", match.start, match.end)


def _card(text: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(re.sub(r"[ -]", "", text)))


def _iban(text: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(text))


def _resident(text: str) -> bool:
    from stdnum.cn import ric

    return bool(ric.is_valid(text))


def _ssn(text: str) -> bool:
    from stdnum.us import ssn

    return bool(ssn.is_valid(text))


def _ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


_CHECKED: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("EMAIL", _EMAIL, lambda _: True),
    ("CN_RESIDENT_ID", _RESIDENT, _resident),
    ("CREDIT_CARD", _CARD, _card),
    ("IBAN", _IBAN, _iban),
    ("US_SSN", _SSN, _ssn),
    ("IP_ADDRESS", _IP, _ip),
)
