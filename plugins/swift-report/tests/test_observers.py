"""What is recorded while a run goes on: the machine, and its energy counters, which wrap around."""

from __future__ import annotations

import json

import pytest
from swift_report import energy, machine, nvml, plugin

from swift_core.contract import Run

RUN = Run(verb="sft", job="", versions={"swift-core": "1"})


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in of a CPU package's counter, in microjoules, wrapping at 1,000 J; a zone inside it, and one that is unreadable."""
    monkeypatch.setattr(energy, "_RAPL", tmp_path)
    monkeypatch.setattr(nvml, "energy", dict)
    for zone in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1"):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"package-{zone[11:]}\n")
    for zone in ("intel-rapl:0", "intel-rapl:0:0"):
        (tmp_path / zone / "max_energy_range_uj").write_text("1000000000\n")
        (tmp_path / zone / "energy_uj").write_text("900000000\n")
    return tmp_path / "intel-rapl:0" / "energy_uj"


def test_energy_is_added_up_over_wrap_arounds(package, tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_EVERY", -1.0)
    folder = tmp_path / "run"
    energy.begin(folder)
    for microjoules in (950_000_000, 30_000_000, 40_000_000):
        package.write_text(str(microjoules))
        plugin.swift_metrics(folder=folder)
    package.write_text("140000000")
    energy.end(folder)
    assert json.loads((folder / "energy.json").read_text())["joules"] == {"cpu package-0": 240.0}


def test_without_counters_there_is_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_RAPL", tmp_path / "absent")
    monkeypatch.setattr(nvml, "energy", dict)
    energy.begin(tmp_path)
    energy.end(tmp_path)
    assert not (tmp_path / "energy.json").exists()


def test_the_machine_is_recorded_without_its_name(tmp_path):
    machine.record(RUN, tmp_path)
    record = json.loads((tmp_path / "environment.json").read_text())
    assert record["cores"] >= 1
    assert record["memory"] > 2**28
    assert record["versions"]["swift-core"] == "1"
    assert set(record) == {"schema", "system", "processor", "cores", "memory", "accelerators", "python", "versions"}
