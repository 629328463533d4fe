"""The simulated autoscaler: figures that follow from its rules, and what is chosen for a recorded load."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from swift_plugin_kubernetes.recorded_load import read_load
from swift_plugin_kubernetes.simulation import Sizing, simulate
from swift_plugin_kubernetes.sizing import chosen

from swift_core.cli import invoke
from swift_core.contract import UsageError

SIZING = Sizing(target=8, min_replicas=1, max_replicas=8, delay=300, cold_start=60, capacity=10, seconds=5)


def test_a_steady_load_gets_the_replicas_that_it_needs():
    """4 requests a second of 5 seconds each are 20 in flight (Little's law): 3 replicas of 8."""
    course = simulate([4.0] * 3600, SIZING)
    assert course.in_flight[-1] == pytest.approx(20)
    assert (course.asked[-1], course.ready[-1], course.waits[-1], course.flaps) == (3, 3, 0.0, 0)


def test_new_replicas_serve_after_the_cold_start_and_nothing_is_removed_before_the_delay():
    course = simulate([1.0] * 600 + [4.0] * 600 + [1.0] * 1200, SIZING)
    asked = next(second for second, count in enumerate(course.asked) if count > 1)
    ready = next(second for second, count in enumerate(course.ready) if count > 1)
    assert 600 < asked <= 600 + 15 + 10 + 15
    assert ready - asked == 60
    removed = next(second for second in range(1200, 2400) if course.asked[second] < course.asked[second - 1])
    assert removed >= 1200 + 300
    assert course.asked[-1] == 1


def test_replicas_at_most_double_or_grow_by_four_and_stay_in_their_range():
    course = simulate([100.0] * 600, SIZING)
    steps = [after - before for before, after in zip(course.asked, course.asked[1:], strict=False) if after > before]
    assert steps[0] == 4
    assert max(course.asked) == 8
    assert min(simulate([0.0] * 3600, replace(SIZING, min_replicas=2)).asked) == 2
    assert simulate([0.0] * 3600, replace(SIZING, min_replicas=0)).asked[-1] == 0


def bursts(folder: Path, period: int) -> Path:
    """A load that is high in every second of two periods."""
    path = folder / "load.csv"
    lines = [f"{second},{6 if second // period % 2 else 0.5}" for second in range(0, 4 * 3600 + 1, period)]
    path.write_text("seconds,rate\n" + "\n".join(lines) + "\n")
    return path


def test_a_load_that_makes_replicas_flap_gets_a_longer_delay(tmp_path):
    path = bursts(tmp_path, 420)
    assert simulate(read_load(path), SIZING).flaps > 2, "else this test shows nothing"
    sizing, course = chosen(path, SIZING, max_wait=60, fixed_target=True)
    assert sizing.delay > 300
    assert sizing.target == 8
    assert course.flaps == 0


def test_a_lower_target_is_chosen_where_requests_would_wait(tmp_path):
    path = tmp_path / "load.csv"
    ramp = [f"{second},{1 + 0.01 * second}" for second in range(0, 1200, 10)]
    path.write_text("seconds,rate\n" + "\n".join(ramp) + "\n1800,12\n")
    first = replace(SIZING, max_replicas=40)
    waits = simulate(read_load(path), first).longest_wait
    sizing, course = chosen(path, first, max_wait=waits / 2, fixed_target=False)
    assert sizing.target < 8
    assert course.longest_wait <= waits / 2


@pytest.mark.parametrize(
    "text",
    ["", "seconds,rate\n1,2\n", "seconds,rate\n2,1\n1,1\n", "a,b\n1,2\n", "{}", "seconds,rate\n0,1\n1,x\n", "seconds,rate\n0,-1\n9,1\n"],
)
def test_what_is_no_load_is_refused(tmp_path, text):
    path = tmp_path / "load"
    path.write_text(text)
    with pytest.raises(UsageError, match="load"):
        read_load(path)


def test_an_answer_of_prometheus_is_a_load(tmp_path):
    series = [{"metric": {"pod": name}, "values": [[100, "1"], [102, "2.5"], [104, "0"]]} for name in "ab"]
    path = tmp_path / "load.json"
    path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}))
    assert read_load(path) == [2, 2, 5, 5]


def test_a_recorded_load_decides_the_autoscaler_and_is_drawn(tiny_model, tmp_path, monkeypatch, capsys):
    import yaml

    monkeypatch.chdir(tmp_path)
    path = bursts(tmp_path, 420)
    argv = [
        "serve",
        str(tiny_model),
        "--launcher",
        "kubernetes",
        "--launcher.image",
        "i",
        "--launcher.no-submit",
        "--launcher.key-secret",
        "k",
    ]
    argv += ["--launcher.volumes", f"m:{tiny_model.parent}", "--autoscale", "1:8", "--launcher.load", str(path), "--json"]
    assert invoke([*argv, "--launcher.cold-start", "60", "--launcher.request-seconds", "5"]) == 0
    result = json.loads(capsys.readouterr().out)
    folder = Path(result["folder"])
    record = json.loads((folder / "autoscaling.json").read_text())
    made = {item["kind"]: item for item in yaml.safe_load_all((folder / "server.yaml").read_text())}
    spec = made["ScaledObject"]["spec"]
    assert spec["cooldownPeriod"] == record["settings"]["delay"]
    assert float(spec["triggers"][0]["metadata"]["threshold"]) == record["settings"]["target"]
    assert record["flaps"] == 0
    assert math.isfinite(record["longest_wait"])
    assert "Replicas (simulated)" in (folder / "report.html").read_text()
