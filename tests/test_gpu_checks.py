"""The checks for accelerators are tested on the CPU; what they find on an accelerator stands in docs/verification.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gpu.__main__ import main
from tests.gpu.memory import CASES


@pytest.mark.model
def test_checks_run_on_a_cpu(tmp_path: Path) -> None:
    names = ["machine", "attention", "kernel", "resumed", "memory"]
    assert main(["--device", "cpu", "--small", "--only", *names, "--output", str(tmp_path)]) == 0
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result["check"] for result in results] == names
    assert results[3]["difference"] == 0.0
    assert len(results[4]) == 3 + len(CASES)
    assert all(each["planned_gib"] > 0 for name, each in results[4].items() if name in CASES)


def test_no_check_is_begun_when_the_time_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--small", "--minutes", "0", "--only", "machine", "kernel", "--output", str(tmp_path)]) == 0
    assert "2 not begun after 0 minutes (machine, kernel)" in capsys.readouterr().out


def test_a_failed_check_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(setting: object) -> dict[str, float]:
        raise AssertionError("12 is not 13")

    monkeypatch.setitem(main.__globals__["CHECKS"], "kernel", fails)
    assert main(["--device", "cpu", "--small", "--only", "kernel", "machine", "--output", str(tmp_path)]) == 1
    first, second = (json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines())
    assert first["error"] == "12 is not 13"
    assert "torch" in second
