"""The fast set of `make test-fast`: `pytest --fast` leaves out what is slow, and fails if a test that is left takes long.

Left out are the tests marked `model` or `slow`, those that `slow_tests.json` lists, and those that use a shared fixture which it lists. The
list is measured, not written: `make durations` records every test and fixture above LIMIT in CPU seconds, processes included. A test of the
fast set that takes more than PATIENCE (a machine under load takes longer than the one that recorded) is named at the end of the run, and
the run fails: make it cheaper, mark it, or record it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

LIMIT = 0.3  # CPU seconds above which a test or fixture is slow
PATIENCE = 3.0  # CPU seconds above which a test of the fast set fails the run
LIST = Path(__file__).with_name("slow_tests.json")


@cache
def recorded() -> dict[str, float]:
    """Return the slow tests and shared fixtures, with their CPU seconds."""
    return dict(json.loads(LIST.read_text(encoding="utf-8")))


def fixture_id(fixture: pytest.FixtureDef) -> str:
    """Return the name of a fixture in the list: FILE::fixture NAME."""
    return f"{fixture.baseid}::fixture {fixture.argname}"


def record(rows: Iterable[tuple[str, float]]) -> None:
    """Write the list: what was measured replaces what it said of these tests, and the others stay."""
    measured: dict[str, float] = {}
    for name, spent in rows:
        if "::" in name:
            measured[name] = max(spent, measured.get(name, 0.0))
    root = LIST.parent.parent
    files = {name.partition("::")[0] for name in measured}
    kept = {
        name: spent
        for name, spent in recorded().items()
        if name not in measured and name.partition("::")[0] not in files and (root / name.partition("::")[0]).exists()
    }
    slow = kept | {name: round(spent, 1) for name, spent in measured.items() if spent > LIMIT}
    LIST.write_text(json.dumps(dict(sorted(slow.items())), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def is_slow(item: pytest.Item) -> bool:
    """Return whether a test is left out of the fast set."""
    if item.get_closest_marker("model") or item.get_closest_marker("slow") or item.nodeid in recorded():
        return True
    info = getattr(item, "_fixtureinfo", None)  # the names alone (`fixturenames`) do not say where a fixture is defined
    used = (found[-1] for found in info.name2fixturedefs.values() if found) if info else ()
    return any(fixture_id(fixture) in recorded() for fixture in used)


class FastSet:
    """Selects the fast set, and measures it. With xdist, the processes measure and the one that reports collects."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what is slow."""
        left = [item for item in items if is_slow(item)]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Measure a test without its fixtures."""
        from tests.durations import seconds

        before = seconds()
        try:
            return (yield)
        finally:
            item.user_properties.append(("cpu", seconds() - before))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what tests took."""
        if report.when == "call":
            self.took[report.nodeid] = dict(report.user_properties).get("cpu", 0.0)  # type: ignore[assignment]

    def too_slow(self) -> list[tuple[str, float]]:
        """Return the tests that take too long for the fast set."""
        return sorted(((name, spent) for name, spent in self.took.items() if spent > PATIENCE), key=lambda each: -each[1])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if there are any."""
        if self.too_slow() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        spent = sum(self.took.values())
        terminalreporter.write_line(f"{len(self.took)} tests of the fast set took {spent:.0f} CPU seconds, without their fixtures")
        for name, each in self.too_slow():
            terminalreporter.write_line(f"too slow for the fast set: {each:.1f} CPU seconds: {name}", red=True)
        if self.too_slow():
            terminalreporter.write_line(f"Make them cheaper, mark them slow, or run: {record_line(self.too_slow())}", red=True)


def record_line(tests: Iterable[tuple[str, float]]) -> str:
    """Return the command that records the files of these tests."""
    return "python -m tests.durations --record " + " ".join(sorted({name.partition("::")[0] for name, _ in tests}))
