"""Errors by their codes, so that a test does not pin their wording.

with pytest.raises(UsageError, check=coded("DATA-012"), match=r"row 3"):
    ...
"""

from __future__ import annotations

from collections.abc import Callable


def coded(code: str) -> Callable[[BaseException], bool]:
    """Return a check for `pytest.raises` that accepts an error with this code."""

    def check(error: BaseException) -> bool:
        found = getattr(error, "code", "")
        assert found == code, f"the error's code is {found or 'missing'}, not {code}: {error}"
        return True

    return check
