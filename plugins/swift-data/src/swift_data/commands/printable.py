"""Foreign text for a terminal: control characters are replaced."""

from __future__ import annotations

_SIGNS = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def printable(text: str) -> str:
    """Replace the control characters of a text, except line feed and tab."""
    return text.translate(_SIGNS)
