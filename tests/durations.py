"""CPU time of the tests by file, their processes included: `python -m tests.durations [--tests N] [what pytest takes]`.

A machine that does other work changes wall time, and CPU time hardly. A process that is still running when a test ends counts for the test
that waits for its end. What is forked by `tests.warm` is counted too; its one start is not. With `--record`, the tests and shared fixtures
above the limit of the fast set are written to `tests/slow_tests.json`: see `tests.fast`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import fast, warm

TABLE = "SWIFT_TEST_DURATIONS"  # a file with a line a test or shared fixture


def seconds() -> float:
    """CPU seconds of this process and of those whose end was waited for."""
    return sum(os.times()[:4]) + warm.forked_seconds()


class Meter:
    """Measures the tests of a process; what a fixture takes that several tests share is the fixture's, not that of its first test."""

    def __init__(self) -> None:
        self.shared = [0.0]  # seconds of shared fixtures: in the test, and in each fixture that is being set up

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[None]:
        """Note what a shared fixture took."""
        if fixturedef.scope == "function":
            return (yield)
        self.shared.append(0.0)
        before = seconds()
        try:
            return (yield)
        finally:
            spent = seconds() - before
            note(fast.fixture_id(fixturedef), spent - self.shared.pop())
            self.shared[-1] += spent

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note what a test took."""
        before, self.shared = seconds(), [0.0]
        result = yield
        note(item.nodeid, seconds() - before - self.shared[0])
        return result

    def pytest_collection_finish(self) -> None:
        """Note what the start of a process of tests took."""
        note("(imports and collection)", seconds())


def note(name: str, spent: float) -> None:
    """Add a line to the table."""
    with Path(os.environ[TABLE]).open("a", encoding="utf-8") as table:
        table.write(json.dumps([name, spent]) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Measure in each process of tests."""
    config.pluginmanager.register(Meter())


def read(table: Path) -> list[tuple[str, float]]:
    """Return the names and seconds of a table."""
    return [(name, spent) for name, spent in map(json.loads, table.read_text(encoding="utf-8").splitlines())]


def show(table: Path, tests: int) -> None:
    """Print the files and the tests that took most."""
    rows = read(table)
    files: dict[str, list[float]] = defaultdict(list)
    for name, spent in rows:
        files[name.partition("::")[0]].append(spent)
    for file, each in sorted(files.items(), key=lambda item: -sum(item[1])):
        print(f"{sum(each):8.1f} s  {len(each):5} tests  {file}")
    print(f"{sum(spent for _, spent in rows):8.1f} s  {len(rows):5} tests  in all")
    for name, spent in sorted(rows, key=lambda row: -row[1])[:tests]:
        print(f"{spent:8.1f} s  {name}")


def main(arguments: Sequence[str]) -> int:
    """Run pytest, print the table; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.durations", description="CPU time of the tests by file")
    parser.add_argument("--tests", type=int, default=40, help="how many single tests to print")
    parser.add_argument("--table", type=Path, default=Path(".cache/durations.jsonl"), help="where a line a test is kept")
    parser.add_argument("--record", action="store_true", help="write the slow tests to tests/slow_tests.json")
    own, others = parser.parse_known_args(arguments)
    own.table.parent.mkdir(parents=True, exist_ok=True)
    own.table.write_text("", encoding="utf-8")
    os.environ[TABLE] = str(own.table.absolute())
    code = pytest.main(["-p", "tests.durations", *others])
    show(own.table, own.tests)
    if own.record:
        fast.record(read(own.table))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
