"""The pytest front end: every check is a test with a readable id; `pytest -k check_merge` runs one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift_core.contract import UsageError, suggestion
from swift_testing.kit.collect import Case, cases, entries_of
from swift_testing.kit.model import CheckFailed, Skip


def parametrize_with_checks(distribution: str, *, expected_failures: Mapping[str, str] | None = None) -> Callable[..., Any]:
    """Decorate a test that takes `check` and calls it.

        @parametrize_with_checks("swift-plugin-moon")
        def test_conformance(check):
            check()

    Args:
        distribution: the plugin's distribution.
        expected_failures: check (`check_merge`) or case (`check_merge[tuner moon]`) → reason. A case that passes nevertheless is a failure.

    Raises:
        UsageError: an expected failure has no reason, or names an unknown check.
    """
    import pytest

    found = [case for entry in entries_of(distribution) for case in cases(entry)]
    expected = dict(expected_failures or {})
    _check_expected(expected, found)
    parameters = []
    for case in found:
        reason = expected.get(case.id) or expected.get(case.check.name)
        marks = [pytest.mark.xfail(reason=reason, raises=CheckFailed, strict=True)] if reason else []
        parameters.append(pytest.param(_skipping(case), id=case.id, marks=marks))
    return pytest.mark.parametrize("check", parameters)


def _check_expected(expected: Mapping[str, str], found: list[Case]) -> None:
    names = {name for case in found for name in (case.id, case.check.name)}
    for name, reason in expected.items():
        if not reason.strip():
            raise UsageError(
                f"the expected failure of {name} has no reason", code="TEST-004", hint="Give the reason as the value of the mapping."
            )
        if name not in names:
            raise UsageError(
                f"there is no check {name}", code="TEST-005", hint=suggestion(name, names) or "List the checks with swift plugins check."
            )


def _skipping(case: Case) -> Callable[[], None]:
    def run() -> None:
        import pytest

        try:
            case()
        except Skip as reason:
            pytest.skip(str(reason))

    return run
