"""Routes lead to the server; a Helm chart with its own values is what the manifest is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from swift_core.cli import invoke


@pytest.fixture
def written(tiny_model, tmp_path, monkeypatch, capsys):
    """The run folder of `swift serve … --launcher.no-submit`."""
    monkeypatch.chdir(tmp_path)

    def write(*words: str) -> Path:
        argv = ["serve", str(tiny_model), "--launcher", "kubernetes", "--launcher.image", "registry.example.org/swift:1"]
        argv += [
            "--launcher.no-submit",
            "--launcher.key-secret",
            "swift-key",
            "--launcher.volumes",
            f"models:{tiny_model.parent}",
            "--json",
        ]
        assert invoke([*argv, *words]) == 0
        return Path(json.loads(capsys.readouterr().out)["folder"])

    return write


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in yaml.safe_load_all((folder / "server.yaml").read_text())}


def test_a_route_leads_to_the_service(written):
    made = manifests(written("--launcher.route", "httproute", "--launcher.gateway", "infra/public"))
    (rule,) = made["HTTPRoute"]["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": made["Service"]["metadata"]["name"], "port": made["Service"]["spec"]["ports"][0]["port"]}]
    assert made["HTTPRoute"]["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]


def test_the_route_of_a_server_that_scales_to_zero_leads_to_its_gateway(written):
    folder = written("--autoscale", "0:2", "--launcher.route", "httproute", "--launcher.gateway", "public")
    made = list(yaml.safe_load_all((folder / "server.yaml").read_text()))
    (backend,) = next(item for item in made if item["kind"] == "HTTPRoute")["spec"]["rules"][0]["backendRefs"]
    services = {item["metadata"]["name"]: item["spec"]["ports"][0]["port"] for item in made if item["kind"] == "Service"}
    assert backend["name"].endswith("-gateway")
    assert services[backend["name"]] == backend["port"]


def rendered(chart: Path, **changed: Any) -> list[dict[str, Any]]:
    """The chart as Helm renders it, of whose language it uses references, `quote` and `toJson` alone."""
    values = {**yaml.safe_load((chart / "values.yaml").read_text()), **changed}

    def value(found: re.Match[str]) -> str:
        name, how = found[1], found[2]
        return json.dumps(values[name]) if how else str(values[name])

    text = (chart / "templates/server.yaml").read_text()
    plain = re.sub(r"{{ \.Values\.(\w+)(?: \| (quote|toJson))? }}", value, text)
    return list(yaml.safe_load_all(plain.replace("{{ `{{` }}", "{{")))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--autoscale", "1:8", "--launcher.gpus", "1"],
        ["--autoscale", "0:8"],
        ["--autoscale", "1:8", "--launcher.autoscaler", "hpa"],
        ["--name", "{{poet}}"],
    ],
    ids=["fixed", "keda", "zero", "hpa", "braces"],
)
def test_a_chart_with_its_own_values_is_the_manifest(written, words):
    folder = written("--launcher.helm", *words)
    made = list(yaml.safe_load_all((folder / "server.yaml").read_text()))
    assert rendered(folder / "chart") == made
    chart = yaml.safe_load((folder / "chart/Chart.yaml").read_text())
    assert (chart["apiVersion"], chart["name"]) == ("v2", made[0]["metadata"]["name"])


def test_values_of_a_chart_change_what_they_name(written):
    chart = written("--launcher.helm", "--autoscale", "1:8", "--launcher.gpus", "1") / "chart"
    made = {item["kind"]: item for item in rendered(chart, image="other:2", maxReplicas=3, keySecret="s", resources={})}
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["resources"]) == ("other:2", {})
    assert made["ScaledObject"]["spec"]["maxReplicaCount"] == 3
    assert {item["valueFrom"]["secretKeyRef"]["name"] for item in container["env"] if "valueFrom" in item} == {"s"}
    assert made["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]["name"] == "s"
