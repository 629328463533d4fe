"""The Compose file of one machine: the server, and on request the gateway and Prometheus."""

from __future__ import annotations

import json
from typing import Any

from swift_plugin_image.contents import Contents
from swift_plugin_image.dockerfile import MODELS, PORT, engine_python

PROMETHEUS = "prom/prometheus:v3.5.0"
_KEY = "${SWIFT_API_KEY:?set the API key: export SWIFT_API_KEY=…}"
_DRAIN = "330s"  # for the requests that run when the server is stopped
_SECRET = "swift_api_key"


def compose(contents: Contents, tag: str, *, gateway: bool = False, prometheus: bool = False) -> dict[str, Any]:
    """Return the Compose file. It holds no secret: the key comes from the environment of `docker compose`.

    Args:
        contents: what the image holds.
        tag: name of the image.
        gateway: put a gateway before the server; only it is reachable then.
        prometheus: scrape the metrics.
    """
    services = {"server": _server(contents, tag, published=not gateway)}
    scraped = {"server": "server:8000"}
    if gateway:
        services["gateway"] = _gateway(tag)
        scraped["gateway"] = "gateway:8000"
    made: dict[str, Any] = {"name": "swift", "services": services}
    if prometheus:
        services["prometheus"] = _prometheus()
        made["configs"] = {"prometheus": {"content": json.dumps(_scrapes(scraped), indent=2)}}  # JSON is YAML
        made["secrets"] = {_SECRET: {"environment": "SWIFT_API_KEY"}}
        made["volumes"] = {"prometheus": {}}
    return made


def _server(contents: Contents, tag: str, *, published: bool) -> dict[str, Any]:
    envs = ["--envs", json.dumps({contents.backend: engine_python(contents)})] if contents.engine else []
    gpus = [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    return {
        **_common(tag, published=published),
        "build": ".",
        "command": ["serve", f"{MODELS}/${{MODEL:?name the folder in MODELS: export MODEL=…}}", "--backend", contents.backend, *envs,
                    "--host", "0.0.0.0", "--port", str(PORT)],
        "volumes": [f"${{MODELS:-./models}}:{MODELS}:ro"],
        "stop_grace_period": _DRAIN,
        "shm_size": "8gb",
        **({"deploy": {"resources": {"reservations": {"devices": gpus}}}} if contents.device == "cuda" else {}),
    }  # fmt: skip


def _gateway(tag: str) -> dict[str, Any]:
    command = ["gateway", f"http://server:{PORT}/v1", "--host", "0.0.0.0", "--port", str(PORT), "--server-key-env", "SWIFT_API_KEY"]
    return {
        **_common(tag, published=True),
        "command": command,
        "depends_on": {"server": {"condition": "service_healthy"}},
        "stop_grace_period": "60s",
    }


def _common(tag: str, *, published: bool) -> dict[str, Any]:
    return {
        "image": tag,
        "environment": {"SWIFT_API_KEY": _KEY},
        **({"ports": [f"127.0.0.1:${{PORT:-{PORT}}}:{PORT}"]} if published else {}),
        "restart": "unless-stopped",
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _prometheus() -> dict[str, Any]:
    return {
        "image": PROMETHEUS,
        "configs": [{"source": "prometheus", "target": "/etc/prometheus/prometheus.yml"}],
        "secrets": [_SECRET],
        "volumes": ["prometheus:/prometheus"],
        "ports": ["127.0.0.1:9090:9090"],
        "restart": "unless-stopped",
    }


def _scrapes(targets: dict[str, str]) -> dict[str, Any]:
    key = {"type": "Bearer", "credentials_file": f"/run/secrets/{_SECRET}"}
    jobs = [{"job_name": name, "authorization": key, "static_configs": [{"targets": [address]}]} for name, address in targets.items()]
    return {"global": {"scrape_interval": "5s"}, "scrape_configs": jobs}
