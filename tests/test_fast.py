"""The fast set: what is left out of it, how that is recorded, and that a slow test in it fails the run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests import fast


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A list of slow tests in a repository of its own, with the files a.py and b.py."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).touch()
    file = tmp_path / "tests" / "slow_tests.json"
    file.parent.mkdir()
    monkeypatch.setattr(fast, "LIST", file)

    def write(content: dict[str, float]) -> None:
        file.write_text(json.dumps(content))
        fast.recorded.cache_clear()

    write({})
    yield write
    fast.recorded.cache_clear()


def item(nodeid: str, *marks: str, fixtures: tuple[str, ...] = ()) -> SimpleNamespace:
    info = SimpleNamespace(
        name2fixturedefs={name: (SimpleNamespace(baseid=nodeid.partition("::")[0], argname=name, scope="module"),) for name in fixtures}
    )
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: name if name in marks else None, _fixtureinfo=info)


def test_what_is_slow(listed):
    listed({"a.py::long": 2.0, "a.py::fixture trained": 5.0})
    assert fast.is_slow(item("a.py::long"))
    assert fast.is_slow(item("a.py::short", fixtures=("trained",)))
    assert fast.is_slow(item("a.py::marked", "slow"))
    assert fast.is_slow(item("a.py::real", "model"))
    assert not fast.is_slow(item("a.py::short", fixtures=("other",)))
    assert not fast.is_slow(item("b.py::short", fixtures=("trained",)))


def test_a_measurement_replaces_what_was_said_of_its_files(listed):
    listed({"a.py::gone": 2.0, "a.py::cheaper": 2.0, "b.py::stays": 3.0, "c.py::removed": 4.0})
    fast.record([("a.py::cheaper", 0.1), ("a.py::long", 0.2), ("a.py::long", 1.23), ("(imports and collection)", 20.0)])
    assert json.loads(fast.LIST.read_text()) == {"a.py::long": 1.2, "b.py::stays": 3.0}


@pytest.mark.parametrize(("seconds", "status"), [(fast.PATIENCE + 1, pytest.ExitCode.TESTS_FAILED), (0.1, pytest.ExitCode.OK)])
def test_a_slow_test_in_the_fast_set_fails_the_run(seconds, status):
    chosen, session = fast.FastSet(), SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    for when in ("setup", "call"):
        chosen.pytest_runtest_logreport(SimpleNamespace(when=when, nodeid="a.py::x", user_properties=[("cpu", seconds)]))
    chosen.pytest_sessionfinish(session)
    assert session.exitstatus == status
    lines = []
    chosen.pytest_terminal_summary(SimpleNamespace(write_line=lambda text, **_: lines.append(text)))
    assert any("a.py::x" in line for line in lines) == (status == pytest.ExitCode.TESTS_FAILED)
