"""Errors: copies with more context."""

from __future__ import annotations

import pytest

from swift_core.contract import DiskFull, Problems, SwiftError, UsageError
from swift_core.options import Invalid


@pytest.mark.parametrize(
    "error", [UsageError("m", hint="h", where="w"), DiskFull("m"), Problems([SwiftError("one")]), Invalid([("rank", "must be positive")])]
)
def test_more_context_makes_a_copy_of_the_same_type(error):
    before, cause = vars(error).copy(), ValueError()
    error.__cause__ = cause
    copied = error.with_context(where="step 'a'", hint="")
    assert type(copied) is type(error)
    assert vars(copied) == before | {"where": "step 'a'", "hint": ""}
    assert vars(error) == before
    assert copied.__cause__ is cause
    assert str(copied).startswith("step 'a': ")
