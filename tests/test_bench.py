"""The harness of the benchmarks: what it writes, and that it names what became slower."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as harness

SCRIPT = (
    "import sys; sys.path.insert(0, {here!r}); from figures import ratio; ratio('speed', 1.5); ratio('memory', 0.5, 'lower'); print('done')"
)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tiny.py").write_text(SCRIPT.format(here=str(harness.HERE)))
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(harness, "HERE", tmp_path)
    monkeypatch.setattr(harness, "RECORDED", tmp_path / "recorded.json")
    monkeypatch.setattr(harness, "RUNS", {"tiny": ([], []), "broken": ([], [])})

    def run(*words: str, recorded: dict | None = None) -> tuple[int, Path]:
        if recorded is not None:
            harness.RECORDED.write_text(json.dumps({"tiny": recorded}))
        return harness.main([*words, "--output", str(tmp_path / "out")]), tmp_path / "out"

    return run


def test_a_result_says_where_it_was_measured(bench, capsys):
    code, folder = bench("tiny", "--record")
    assert code == 0
    result = json.loads((folder / "tiny.json").read_text())
    assert result["ratios"] == {"speed": {"value": 1.5, "better": "higher"}, "memory": {"value": 0.5, "better": "lower"}}
    assert result["versions"]["swift-core"]
    assert {"processor", "cores", "memory_gib", "load", "python"} <= result["machine"].keys()
    assert (folder / "tiny.txt").read_text() == "done\n"
    assert json.loads(harness.RECORDED.read_text())["tiny"]["speed"]["value"] == 1.5
    assert "WORSE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recorded", "named"),
    [
        ({"speed": {"value": 1.6, "better": "higher"}, "memory": {"value": 0.46, "better": "lower"}}, []),
        ({"speed": {"value": 1.7, "better": "higher"}, "memory": {"value": 0.44, "better": "lower"}}, ["speed", "memory"]),
        ({"latency": {"value": 1.0, "better": "lower"}}, ["latency"]),
    ],
)
def test_what_is_a_tenth_worse_is_named(bench, capsys, recorded, named):
    code, _ = bench("tiny", recorded=recorded)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WORSE")]
    assert [name for name in ("speed", "memory", "latency") if any(f" {name}:" in line for line in lines)] == named
    assert code == bool(named)


def test_a_benchmark_that_fails_does_not_end_the_others(bench, capsys):
    code, folder = bench("broken", "tiny")
    assert code == 1
    assert json.loads((folder / "tiny.json").read_text())["code"] == 0
    assert "broken ended with code 3" in capsys.readouterr().out


def test_unknown_names_and_quick_records_are_refused(bench, capsys):
    for words in (["absent"], ["--quick", "--record"]):
        with pytest.raises(SystemExit):
            bench(*words)
    assert "there is no benchmark 'absent': tiny, broken" in capsys.readouterr().err


def test_every_benchmark_of_the_list_is_there_and_recorded_ones_are_in_the_list():
    assert all((harness.HERE / f"{name}.py").is_file() for name in harness.RUNS)
    assert json.loads(harness.RECORDED.read_text()).keys() <= harness.RUNS.keys()
