"""A stand-in for a cluster, since there is none: an API server whose pods are processes on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMAS = Path(__file__).parent / "schemas"


@dataclass
class StandIn:
    """What the cluster received, and the pods of each job. `refusal`: an HTTP status and words for whoever creates something;
    `conditions`: those of a Deployment."""

    made: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, list[subprocess.Popen]] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    conditions: list[dict[str, str]] = field(default_factory=lambda: [{"type": "Available", "status": "True"}])

    def create(self, body: dict[str, Any]) -> None:
        """Note it, and start the pods of an indexed Job."""
        self.made.append(body)
        if body["kind"] != "Job":
            return
        name, spec = body["metadata"]["name"], body["spec"]
        container = spec["template"]["spec"]["containers"][0]
        given = {item["name"]: item["value"] for item in container["env"]}
        self.pods[name] = [
            subprocess.Popen(
                [sys.executable if word == "python" else word for word in container["command"]],
                cwd=container["workingDir"],
                # the name of node 0 in the cluster's DNS is a variable here, which stands for loopback
                env={**os.environ, **given, "JOB_COMPLETION_INDEX": str(number), f"{name}-0.{name}": "127.0.0.1"},
                stderr=subprocess.DEVNULL,
            )
            for number in range(spec["completions"])
        ]

    def status(self, name: str) -> dict[str, Any]:
        """As the Job's controller would write it."""
        codes = [pod.poll() for pod in self.pods[name]]
        if any(codes):
            return {"conditions": [{"type": "Failed", "status": "True"}]}
        return {"conditions": [{"type": "Complete", "status": "False" if None in codes else "True"}]}


def strict(schema):
    """The schema of a resource, in which a name that it does not have is a fault: a cluster would drop it in silence."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", schema["properties"] == {})
    return found


@pytest.fixture
def validate():
    """Check a manifest against the schema of its resource."""

    def check(manifest: dict, kind: str) -> None:
        schema = strict(json.loads((SCHEMAS / f"{kind}.json").read_text()))
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.validate(manifest, schema)

    return check


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    """A kubeconfig that leads to the stand-in."""
    pytest.importorskip("kubernetes")
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if stand_in.refusal:
                self.answer(stand_in.refusal[0], {"message": stand_in.refusal[1]})
                return
            stand_in.create(body)
            self.answer(201, {**body, "metadata": {**body["metadata"], "uid": "1-2-3"}})

        def do_GET(self) -> None:
            deployed = "/deployments/" in self.path
            status = {"conditions": stand_in.conditions} if deployed else stand_in.status(self.path.rpartition("/")[2])
            self.answer(200, {"status": status})

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"cluster": {"server": f"http://127.0.0.1:{server.server_port}"}, "name": "c"}
    context = {"context": {"cluster": "c", "user": "u", "namespace": "lab"}, "name": "x"}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [where], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    path = Path(tmp_path_factory.mktemp("kube")) / "config"
    path.write_text(json.dumps({**config, "current-context": "x"}))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    yield stand_in
    server.shutdown()
    for pods in stand_in.pods.values():
        for pod in pods:
            pod.kill()
            pod.wait()
