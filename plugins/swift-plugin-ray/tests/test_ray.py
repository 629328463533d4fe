"""A run on Ray of one machine, with the tiny model: `make test-full LANE=ray`, in an environment that has swift-plugin-ray[engine]."""

from __future__ import annotations

import json

import pytest
from swift_plugin_ray import swift_check

from swift_core.contract.run import Run
from swift_core.plugins.registered import registry

COMMON = ["--dataset", "rows.jsonl", "--max-steps", "4", "--device", "cpu", "--tuner.dropout", "0", "--json"]


def test_where_ray_is_absent(monkeypatch):
    """It is said before anything is loaded."""
    run = Run(verb="toy", job="j:j", parts={"launcher": registry().choose("launcher", "ray")})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (problem,) = swift_check(run)
    assert (problem.message, problem.hint) == ("the launcher 'ray' needs Ray", "pip install 'swift-plugin-ray[engine]'")


@pytest.fixture
def project(tiny_model, swift_project):
    pytest.importorskip("ray")
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]} for n in range(16)]
    swift_project.write({"rows.jsonl": rows})

    def sft(*words: str):
        return swift_project.run("sft", "--model", str(tiny_model), *COMMON, *words, timeout=600)

    return swift_project.folder, sft


def losses(folder) -> dict[int, float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.mark.full("ray")
def test_two_workers_of_ray_learn_what_two_processes_do(project):
    folder, sft = project
    local = sft("--processes", "2").json()
    outcome = sft("--processes", "2", "--launcher", "ray", "--launcher.storage", str(folder / "storage"))
    outcome.assert_success()
    on_ray = outcome.json()
    first, second = (losses(folder / done["folder"]) for done in (local, on_ray))
    assert first.keys() == second.keys()
    assert max(abs(first[step] - second[step]) for step in first) < 1e-6
    kept = list((folder / "storage").rglob("adapter_model.safetensors"))
    assert len(kept) == 1
    assert kept[0].read_bytes() == (folder / on_ray["output"] / "adapter_model.safetensors").read_bytes()


@pytest.mark.full("ray")
def test_more_than_the_cluster_has_is_refused(project):
    _, sft = project
    sft("--processes", "2", "--launcher", "ray", "--launcher.cpus", "1000").assert_failure("2 workers with 1000 CPU each were requested")
