"""CPU time of the tests by file, their processes included: `python -m tests.durations [--tests N] [what pytest takes]`.

A machine that does other work changes wall time, and CPU time hardly. A process that is still running when a test ends counts for the test
that waits for its end. What is forked by `tests.warm` is counted too; its one start is not.
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

from tests import warm

TABLE = "SWIFT_TEST_DURATIONS"  # a file with a line a test


def _seconds() -> float:
    """CPU seconds of this process and of those whose end was waited for."""
    return sum(os.times()[:4]) + warm.forked_seconds()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what a test took, with its fixtures."""
    before = _seconds()
    result = yield
    with Path(os.environ[TABLE]).open("a", encoding="utf-8") as table:
        table.write(json.dumps([item.nodeid, _seconds() - before]) + "\n")
    return result


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what the start of a process of tests took."""
    with Path(os.environ[TABLE]).open("a", encoding="utf-8") as table:
        table.write(json.dumps(["(imports and collection)", _seconds()]) + "\n")


def show(table: Path, tests: int) -> None:
    """Print the files and the tests that took most."""
    rows: list[tuple[str, float]] = [(name, seconds) for name, seconds in map(json.loads, table.read_text(encoding="utf-8").splitlines())]
    files: dict[str, list[float]] = defaultdict(list)
    for name, seconds in rows:
        files[name.partition("::")[0]].append(seconds)
    for file, each in sorted(files.items(), key=lambda item: -sum(item[1])):
        print(f"{sum(each):8.1f} s  {len(each):5} tests  {file}")
    print(f"{sum(seconds for _, seconds in rows):8.1f} s  {len(rows):5} tests  in all")
    for name, seconds in sorted(rows, key=lambda row: -row[1])[:tests]:
        print(f"{seconds:8.1f} s  {name}")


def main(arguments: Sequence[str]) -> int:
    """Run pytest, print the table; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.durations", description="CPU time of the tests by file")
    parser.add_argument("--tests", type=int, default=40, help="how many single tests to print")
    parser.add_argument("--table", type=Path, default=Path(".cache/durations.jsonl"), help="where a line a test is kept")
    own, others = parser.parse_known_args(arguments)
    own.table.parent.mkdir(parents=True, exist_ok=True)
    own.table.write_text("", encoding="utf-8")
    os.environ[TABLE] = str(own.table.absolute())
    code = pytest.main(["-p", "tests.durations", *others])
    show(own.table, own.tests)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
