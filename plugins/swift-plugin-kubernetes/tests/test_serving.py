"""A server on a cluster: its manifests against the schemas, its queries against the metrics of live servers, its hooks as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import uvicorn
import yaml
from prometheus_client.parser import text_string_to_metric_families
from swift_gateway.app import create_app
from swift_gateway.config import parse
from swift_http.server import bind, url_of
from swift_http.testing import KEY, Served, until
from swift_plugin_kubernetes.autoscaling import load_query, wake_query
from swift_plugin_kubernetes.drain import drain
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Workload
from swift_plugin_kubernetes.pod_settings import CACHE
from swift_plugin_kubernetes.routes import http_route, inference_pool
from swift_plugin_kubernetes.server import ServedRun
from swift_plugin_kubernetes.serving import serving_manifests

import swift_core
from swift_core import SwiftError
from swift_core.cli import invoke
from swift_core.runs import free_port
from swift_core.system import read_run, write_run

IMAGE = "registry.example.org/swift:1"


@pytest.fixture
def prepared(tiny_model, tmp_path, monkeypatch, capsys):
    """`swift serve … --launcher kubernetes --launcher.no-submit`: the manifests by kind and component, and the run folder."""
    monkeypatch.chdir(tmp_path)

    def prepare(*words: str, volume: str = f"models:{tiny_model.parent}") -> tuple[dict[str, dict], Path]:
        argv = ["serve", str(tiny_model), "--launcher", "kubernetes", "--launcher.image", IMAGE, "--launcher.no-submit", "--json"]
        assert invoke([*argv, "--launcher.key-secret", "swift-key", "--launcher.volumes", volume, *words]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["status"] == "prepared"
        text = Path(result["output"]).read_text()
        assert not re.search(r"[&*]id\d", text)
        made = list(yaml.safe_load_all(text))
        named = {f"{item['kind']}{'/gateway' if item['metadata']['name'].endswith('-gateway') else ''}": item for item in made}
        assert len(named) == len(made)
        return named, Path(result["folder"])

    return prepare


ALWAYS = {"Deployment", "ConfigMap", "Service", "PodDisruptionBudget", "PodMonitor"}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ([], set()),
        (["--autoscale", "1:8"], {"ScaledObject"}),
        (["--autoscale", "1:8", "--launcher.autoscaler", "hpa", "--launcher.namespace", "lab"], {"HorizontalPodAutoscaler"}),
        (
            ["--autoscale", "0:8", "--launcher.gpus", "1", "--launcher.pod", '{"nodeSelector": {"gpu": "h100"}}'],
            {"ScaledObject", "Deployment/gateway", "Service/gateway", "PodMonitor/gateway"},
        ),
        (["--launcher.route", "httproute", "--launcher.gateway", "infra/public", "--launcher.hostname", "poet.example.org"], {"HTTPRoute"}),
    ],
    ids=["fixed", "keda", "hpa", "zero", "httproute"],
)
def test_manifests_are_valid(prepared, validate, words, more):
    made, _ = prepared(*words)
    assert made.keys() == ALWAYS | more
    for item in made.values():
        validate(item, item["kind"].lower())
    pod = made["Deployment"]["spec"]["template"]
    for name in ("Service", "PodDisruptionBudget", "PodMonitor"):
        spec = made[name]["spec"]["selector"]
        assert spec.get("matchLabels", spec).items() <= pod["metadata"]["labels"].items()
    assert ("replicas" in made["Deployment"]["spec"]) == (
        "--autoscale" not in words
    )  # else each `kubectl apply` would undo what the autoscaler did
    if "Deployment/gateway" in made:
        assert not made["Service/gateway"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert made["ScaledObject"]["spec"]["minReplicaCount"] == 0


def test_a_pod_has_no_root_and_no_secret(prepared):
    made, _ = prepared("--autoscale", "0:2")
    for name in ("Deployment", "Deployment/gateway"):
        pod = made[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        key = next(item for item in container["env"] if item["name"] == "SWIFT_API_KEY")
        assert key["valueFrom"]["secretKeyRef"] == {"name": "swift-key", "key": "api-key"}


def test_probes_and_grace_follow_from_the_options(prepared):
    made, folder = prepared("--startup-timeout", "900", "--launcher.drain", "200")
    pod = made["Deployment"]["spec"]["template"]["spec"]
    startup = pod["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 900
    assert pod["terminationGracePeriodSeconds"] > 200
    run = read_run(folder)
    earlier = folder.parent / "earlier"
    write_run(run, earlier)
    (earlier / "result.json").write_text(json.dumps({"figures": {"ready_seconds": 400}}))
    measured, _ = prepared("--autoscale", "1:4", "--startup-timeout", "900")
    startup = measured["Deployment"]["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 1200
    assert measured["ScaledObject"]["spec"]["cooldownPeriod"] == 800


def test_the_target_is_a_share_of_the_batch(prepared):
    made, _ = prepared("--autoscale", "1:8", "--batch", "40")
    assert made["ScaledObject"]["spec"]["triggers"][0]["metadata"]["threshold"] == "32"
    made, _ = prepared("--autoscale", "1:8", "--launcher.target", "2.5", "--launcher.autoscaler", "hpa")
    (metric,) = made["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "2500m"}


def test_the_settings_of_a_pod_are_those_of_the_run(prepared, tiny_model, tmp_path, capsys):
    made, folder = prepared("--batch", "3", "--name", "poet", "--port", "9000")
    (tmp_path / "serve.yaml").write_text(made["ConfigMap"]["data"]["serve.yaml"])
    assert invoke(["serve", "--config", str(tmp_path / "serve.yaml"), "--dry-run"]) == 0
    run, asked = json.loads(capsys.readouterr().out), read_run(folder)
    assert yaml.safe_load((tmp_path / "serve.yaml").read_text())["model"] == str(tiny_model)
    assert run["model"]["hash"] == asked.model.hash
    assert run["parts"]["backend"]["options"] == dict(asked.part("backend").options)
    changed = {name for name, value in run["options"].items() if value != asked.options.get(name)}
    assert changed - {"model"} == {"host", "runs"}  # the reference to the model is in its own field
    assert run["options"]["port"] == made["Service"]["spec"]["ports"][0]["port"] == 9000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--launcher.key-secret", ""], "launcher.key-secret"),
        (["--launcher.manifest", "trainjob"], "launcher.manifest"),
        (["--autoscale", "0:2", "--launcher.autoscaler", "hpa"], "launcher.autoscale"),
        (["--autoscale", "8:1"], "launcher.autoscale"),
        (["--launcher.volumes", "models:/elsewhere"], "is not on a volume of the pods"),
        (["--launcher.gateway", "public"], "launcher.gateway"),
        (["--launcher.route", "httproute"], "launcher.gateway"),
        (["--launcher.route", "inferencepool", "--launcher.gateway", "public"], "metrics of vLLM and SGLang"),
        (["--launcher.route", "httproute", "--launcher.gateway", "g", "--launcher.endpoint-picker", "p"], "launcher.endpoint-picker"),
        (["--launcher.load", "absent.csv"], "launcher.load"),
        (["--launcher.load", "absent.csv", "--autoscale", "1:8"], "absent.csv"),
    ],
)
def test_what_can_not_run_is_refused(prepared, tiny_model, capsys, words, reason):
    argv = ["serve", str(tiny_model), "--launcher", "kubernetes", "--launcher.image", IMAGE, "--launcher.no-submit"]
    given = ["--launcher.key-secret=k", f"--launcher.volumes=models:{tiny_model.parent}"]
    kept = [word for word in given if word.partition("=")[0] != words[0]]
    assert invoke([*argv, *kept, *words]) != 0
    said = capsys.readouterr().err
    assert reason in said
    assert "Traceback" not in said
    assert not Path("runs").exists()  # refused before a run begins


def selectors(query: str) -> dict[str, dict[str, str]]:
    """The metrics that a PromQL query selects, by its own parser, each with its matchers."""
    promql = pytest.importorskip("promql_parser")
    found: dict[str, dict[str, str]] = {}

    def visit(node) -> None:
        if isinstance(node, promql.VectorSelector):
            matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            for name in (node.name or matchers.pop("__name__")).split("|"):
                found[name] = matchers
        for part in ("expr", "lhs", "rhs"):
            if (inner := getattr(node, part, None)) is not None:
                visit(inner)

    visit(promql.parse(query))
    assert found
    return found


def served(folder: Path, **options) -> ServedRun:
    given = KubernetesOptions(image=IMAGE, key_secret="k", namespace="lab", **options)
    return ServedRun(read_run(folder), Workload(run=folder, options=given, processes=1, nodes=1, environment={}))


def scraped(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.mark.parametrize("autoscale", ["2", "1:4"])
def test_an_engine_on_several_machines_is_a_leader_worker_set(prepared, validate, autoscale):
    _, folder = prepared()
    run = read_run(folder)
    run = replace(run, options={**run.options, "engine_nodes": 2})
    options = KubernetesOptions(image=IMAGE, key_secret="k", autoscale=autoscale, volumes=[f"m:{Path(run.model.path).parent}"], gpus=8)
    server = ServedRun(run, Workload(run=folder, options=options, processes=1, nodes=1, environment={}))
    made = {item["kind"]: item for item in serving_manifests(server)}
    group = made["LeaderWorkerSet"]
    validate(group, "leaderworkerset")
    assert "Deployment" not in made
    template = group["spec"]["leaderWorkerTemplate"]
    leader, worker = template["leaderTemplate"], template["workerTemplate"]
    for pod in (leader, worker):
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}
        validate({**deployment, "spec": {"selector": {"matchLabels": server.selector()}, "template": pod}}, "deployment")
        (container,) = pod["spec"]["containers"]
        assert container["command"][-6:] == [
            "--engine-nodes", "2", "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)",
        ]  # fmt: skip
    assert template["size"] == 2
    assert "readinessProbe" in leader["spec"]["containers"][0]
    assert "readinessProbe" not in worker["spec"]["containers"][0]
    selector = made["Service"]["spec"]["selector"].items()
    assert selector <= leader["metadata"]["labels"].items()
    assert not selector <= worker["metadata"]["labels"].items(), "workers answer no requests"
    if autoscale == "1:4":
        target = made["ScaledObject"]["spec"]["scaleTargetRef"]
        assert (target["apiVersion"], target["kind"]) == (group["apiVersion"], group["kind"])
    assert "engine_nodes" not in yaml.safe_load(made["ConfigMap"]["data"]["serve.yaml"])


def test_a_pool_and_its_route_are_valid(prepared, validate):
    made, folder = prepared()
    server = served(folder, route="inferencepool", gateway="infra/public", endpoint_picker="picker:9")
    pool, route = inference_pool(server), http_route(server)
    validate(pool, "inferencepool")
    validate(route, "httproute")
    assert pool["spec"]["endpointPickerRef"] == {"name": "picker", "port": {"number": 9}}
    (rule,) = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool["metadata"]["name"]}]
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert pool["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert pool["spec"]["targetPorts"] == [{"number": made["Service"]["spec"]["ports"][0]["port"]}]


def test_queries_ask_for_metrics_that_a_live_server_has(prepared):
    _, folder = prepared()
    found = selectors(load_query(served(folder)))
    with Served() as server:
        assert found.keys() <= scraped(server.get("/metrics").text)
    (matchers,) = found.values()
    assert matchers["namespace"] == "lab"
    name = served(folder).name
    assert re.fullmatch(matchers["pod"], f"{name}-7d9f8c6b5-x2x4z")
    two = selectors(load_query(served(folder, load_metrics=["vllm:num_requests_running", "vllm:num_requests_waiting"])))
    assert two.keys() == {"vllm:num_requests_running", "vllm:num_requests_waiting"}


def test_a_request_at_the_gateway_wakes_a_server_without_replicas(prepared):
    _, folder = prepared()
    (metric,) = selectors(wake_query(served(folder)))
    config = parse({"servers": [f"http://127.0.0.1:{free_port()}/v1"], "probe_interval": 0.1}, where="")
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(config, api_key=KEY), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        until(lambda: server.started)
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = httpx2.post(f"{url_of(bound)}/chat/completions", json={"model": "m", "messages": []}, headers=headers)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"])
        text = httpx2.get(f"{url_of(bound).removesuffix('/v1')}/metrics", headers=headers).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        assert sum(sample.value for sample in samples if sample.name == metric) == 1
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def test_a_pod_drains_until_its_requests_have_ended(prepared):
    _, folder = prepared()
    metrics = served(folder).load_metrics
    with Served() as server:
        url = server.url.removesuffix("/v1") + "/metrics"
        assert drain(url, 30, metrics, key=KEY, settle=0)
        asking = threading.Thread(target=server.ask, args=("wait",))
        asking.start()
        until(lambda: server.engine.running)
        assert not drain(url, 0.5, metrics, key=KEY, settle=0)
        threading.Timer(0.5, server.engine.go_on.set).start()
        assert drain(url, 30, metrics, key=KEY, settle=0)
        assert not server.engine.running
        asking.join()
    assert drain(url, 30, metrics, key=KEY, settle=0)  # a server that has ended


def test_the_manifests_are_created_and_owned(prepared, cluster, tiny_model, capsys):
    argv = ["serve", str(tiny_model), "--launcher", "kubernetes", "--launcher.image", IMAGE, "--launcher.key-secret", "k", "--json"]
    argv += ["--launcher.volumes", f"m:{tiny_model.parent}", "--autoscale", "1:8"]
    assert invoke(argv) == 0
    result = json.loads(capsys.readouterr().out)
    deployment, *others = cluster.made
    assert result["status"] == "submitted"
    assert result["figures"]["url"] == f"http://{deployment['metadata']['name']}.lab.svc:8000/v1"
    assert {item["kind"] for item in others} == ALWAYS - {"Deployment"} | {"ScaledObject"}
    assert all(item["metadata"]["ownerReferences"][0]["name"] == deployment["metadata"]["name"] for item in others)
    cluster.conditions = [{"type": "Progressing", "status": "False", "message": "ImagePullBackOff"}]
    assert invoke(argv) == 1
    assert "ImagePullBackOff" in capsys.readouterr().err


def test_in_python_the_server_is_that_of_the_cluster_and_stays(prepared, cluster, tiny_model):
    launcher = {"name": "kubernetes", "image": IMAGE, "key_secret": "k", "volumes": [f"m:{tiny_model.parent}"]}
    with swift_core.serve(str(tiny_model), launcher=launcher, name="snow") as server:
        (deployment, *_) = cluster.made
        assert server.url == f"http://{deployment['metadata']['name']}.lab.svc:8000/v1"
        assert server.models == ("snow",)
    with (
        pytest.raises(SwiftError, match="prepared the server") as caught,
        swift_core.serve(str(tiny_model), launcher={**launcher, "submit": False}),
    ):
        pass
    assert Path(caught.value.where).name == "server.yaml"


@pytest.mark.slow
def test_the_container_runs(prepared, tmp_path):
    """Its command with its settings, the path of its probes, its preStop hook, and SIGTERM, as a kubelet would."""
    port = free_port()
    made, _ = prepared("--port", str(port), "--launcher.drain", "10")
    text = made["ConfigMap"]["data"]["serve.yaml"].replace(CACHE, str(tmp_path / "cache"))
    (tmp_path / "serve.yaml").write_text(text)
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]

    def here(command: list[str]) -> list[str]:
        return [{"python": sys.executable, "/etc/swift/serve.yaml": str(tmp_path / "serve.yaml")}.get(word, word) for word in command]

    env = {**os.environ, "SWIFT_API_KEY": KEY}
    process = subprocess.Popen(here(container["command"]), env=env, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        path = container["startupProbe"]["httpGet"]["path"]
        end = time.monotonic() + 300
        while True:
            try:
                if httpx2.get(url + path, timeout=60).status_code == 200:
                    break
            except httpx2.HTTPError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.5)
        headers = {"Authorization": f"Bearer {KEY}"}
        assert "swift_requests_in_flight" in scraped(httpx2.get(f"{url}/metrics", headers=headers, timeout=60).text)
        subprocess.run(here(container["lifecycle"]["preStop"]["exec"]["command"]), env=env, check=True, timeout=60)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
