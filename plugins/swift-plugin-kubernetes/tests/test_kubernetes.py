"""The manifests against the schemas of the resources they are, and runs that go through a stand-in of a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from swift_plugin_kubernetes.launcher import KubernetesLauncher
from swift_plugin_kubernetes.manifests import MANIFESTS, manifests, service
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Workload
from swift_testing.codes import coded

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run
from swift_core.runs.local_launcher import free_port
from swift_core.system.run_folder import write_run

FULL = {
    "namespace": "lab",
    "volumes": ["runs:/data", "models:/models"],
    "gpus": 8,
    "cpus": "64",
    "memory": "200Gi",
    "env": {"HF_HOME": "/models"},
    "pod": {"nodeSelector": {"gpu": "h100"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
}
JOBS = """
import os
def ranks(run, report):
    (report.folder / f"rank-{os.environ['RANK']}-of-{os.environ['WORLD_SIZE']}").write_text(os.environ["SWIFT_CHECK"])
    return report.folder / "output", {"answer": 42}
"""


def work(kind: str = "job", nodes: int = 4, **options) -> Workload:
    given = KubernetesOptions(image="registry.example.org/swift:1", manifest=kind, **options)
    return Workload(run=Path("/data/runs/20261124-120000-sft-a1b2"), options=given, processes=8, nodes=nodes, environment={"A": "b"})


@pytest.mark.parametrize("nodes", [1, 4])
@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_is_what_its_resource_defines(kind, options, nodes, validate):
    made = manifests(work(kind, nodes, **options))
    validate(made[0], kind)
    assert len(made) == (2 if kind == "job" and nodes > 1 else 1)


def test_the_schemas_see_a_wrong_word(validate):
    for kind, where in {"job": ("template", "spec"), "trainjob": ("trainer",), "pytorchjob": ("runPolicy",)}.items():
        made = MANIFESTS[kind](work(kind))
        inner = made["spec"]
        for name in where:
            inner = inner[name]
        inner["subdomane"] = "x"
        with pytest.raises(jsonschema.ValidationError, match="subdomane"):
            validate(made, kind)


def test_each_pod_learns_who_it_is():
    said = {
        "job": ["--node=JOB_COMPLETION_INDEX", "--host=swift-20261124-120000-sft-a1b2-0.swift-20261124-120000-sft-a1b2", "--port=29500"],
        "trainjob": ["--node=PET_NODE_RANK", "--host=PET_MASTER_ADDR", "--port=PET_MASTER_PORT"],
        "pytorchjob": ["--node=RANK", "--host=MASTER_ADDR", "--port=MASTER_PORT"],
    }
    for kind, words in said.items():
        assert not [word for word in words if word not in json.dumps(MANIFESTS[kind](work(kind)))], kind


def test_the_service_leads_to_the_jobs_pods():
    job, found = manifests(work())
    assert found == service(work())
    assert found["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["spec"]["template"]["spec"]["subdomain"] == found["metadata"]["name"]


def test_names_are_fit_for_a_cluster():
    long = Workload(run=Path("/x/A_Very.Long " + "name " * 20), options=work().options, processes=1, nodes=1, environment={})
    assert len(long.name) <= 40
    assert long.name.startswith("swift-a-very-long")
    with pytest.raises(ValueError, match="pattern"):
        KubernetesOptions(image="i", name="Upper")


def test_a_volume_that_is_none_is_refused():
    with pytest.raises(UsageError, check=coded("NODE-021"), match="'runs:data'") as caught:
        manifests(work(volumes=["runs:data"]))
    assert caught.value.where == "launcher.volumes"


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "kube_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_run(Run(verb="toy", job="kube_jobs:ranks"), tmp_path / "run")
    return tmp_path / "run"


def launch(folder, *, nodes=1, **options):
    events: list = []
    launcher = KubernetesLauncher(KubernetesOptions(image="i", port=free_port(), **options))
    return launcher.launch(folder, processes=1, nodes=nodes, environment={"SWIFT_CHECK": "seen"}, watch=events.append), events


@pytest.mark.slow
def test_two_pods_are_one_run(run, cluster):
    code, events = launch(run, nodes=2)
    assert code == 0, (run / "events.jsonl").read_text()
    assert sorted(path.name for path in run.glob("rank-*")) == ["rank-0-of-2", "rank-1-of-2"]
    assert next(event for event in events if event["event"] == "result")["figures"] == {"answer": 42}
    job, found = cluster.made
    assert found["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": "1-2-3"}
    ]


def test_a_manifest_alone(run, monkeypatch):
    """Without the package, too."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    code, events = launch(run, nodes=2, submit=False)
    assert (code, events[-1]["status"]) == (0, "prepared")
    made = list(yaml.safe_load_all((run / "job.yaml").read_text()))
    assert [item["kind"] for item in made] == ["Job", "Service"]
    assert "--conclude" in made[0]["spec"]["template"]["spec"]["containers"][0]["command"]
    with pytest.raises(UsageError, check=coded("NODE-017")) as caught:
        launch(run)
    assert "pip install 'swift-plugin-kubernetes[submit]'" in caught.value.hint


def test_a_train_job_is_submitted_and_left(run, cluster):
    code, events = launch(run, nodes=2, manifest="trainjob", follow=False)
    assert (code, events[-1]["status"]) == (0, "submitted")
    assert [item["kind"] for item in cluster.made] == ["TrainJob"]
    assert events[0]["text"].startswith("Submitted as TrainJob swift-run in lab.")


def test_the_clusters_own_words_reach_the_user(run, cluster):
    cluster.refusal = (403, "jobs.batch is forbidden")
    with pytest.raises(SwiftError, check=coded("NODE-019"), match=r"the cluster refused the request: .*jobs\.batch is forbidden") as caught:
        launch(run)
    assert "permission to manage jobs in the namespace" in caught.value.hint


def test_no_cluster_is_said(run, monkeypatch, tmp_path):
    pytest.importorskip("kubernetes")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(UsageError, check=coded("NODE-018")) as caught:
        launch(run)
    assert "--launcher.no-submit" in caught.value.hint
