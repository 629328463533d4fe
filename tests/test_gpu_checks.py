"""The checks for accelerators are tested on the CPU; what they find on an accelerator stands in docs/verification.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gpu.__main__ import main


@pytest.mark.model
def test_checks_run_on_a_cpu(tmp_path: Path) -> None:
    names = ["machine", "attention", "kernel", "resumed"]
    assert main(["--device", "cpu", "--small", "--only", *names, "--output", str(tmp_path)]) == 0
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result["check"] for result in results] == names
    assert results[-1]["difference"] == 0.0


def test_a_failed_check_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(setting: object) -> dict[str, float]:
        raise AssertionError("12 is not 13")

    monkeypatch.setitem(main.__globals__["CHECKS"], "kernel", fails)
    assert main(["--device", "cpu", "--small", "--only", "kernel", "machine", "--output", str(tmp_path)]) == 1
    first, second = (json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines())
    assert first["error"] == "12 is not 13"
    assert "torch" in second
