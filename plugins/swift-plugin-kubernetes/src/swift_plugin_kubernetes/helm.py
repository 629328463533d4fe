"""A Helm chart with the resources of a server, whose values are what changes from one installation to the next.

The templates are the manifests themselves, with a reference to a value in place of each of these, so that a chart with its own values gives
the same resources as `kubectl apply`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_core.system import paths
from swift_plugin_kubernetes.manifest_text import yaml_text
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

_PLACES: Mapping[str, tuple[tuple[str, ...], ...]] = {  # value → ends of the paths where it stands
    "image": (("image",),),
    "keySecret": (("secretKeyRef", "name"), ("credentials", "name")),
    "replicas": (("spec", "replicas"),),
    "minReplicas": (("minReplicaCount",), ("minReplicas",)),
    "maxReplicas": (("maxReplicaCount",), ("maxReplicas",)),
    "target": (("metadata", "threshold"), ("target", "averageValue")),
    "scaleDownSeconds": (("cooldownPeriod",), ("scaleDown", "stabilizationWindowSeconds")),
    "prometheus": (("metadata", "serverAddress"),),
    "resources": (("containers", "resources"),),
}
_REFERENCE = re.compile(r"'@@(\w+)@@'")  # as the YAML writer quotes it


def write_chart(server: ServedRun, made: Sequence[Json], folder: Path) -> Path:
    """Write the chart of the manifests `made` into `folder`, and return it."""
    values: dict[str, Any] = {}
    marked = [_marked(manifest, values, ()) for manifest in made]
    text = yaml_text(marked).replace("{{", "{{ `{{` }}")  # what the settings have of the template language is no reference
    chart = {
        "apiVersion": "v2",
        "name": server.name,
        "description": f"swift {server.run.verb} with the backend {server.run.part('backend').name}",
        "type": "application",
        "version": "0.1.0",
    }
    paths.write_text(folder / "Chart.yaml", yaml_text([chart]))
    paths.write_text(folder / "values.yaml", yaml_text([values]))
    paths.write_text(folder / "templates" / "server.yaml", _REFERENCE.sub(lambda found: _reference(found[1], values), text))
    return folder


def _marked(node: Any, values: dict[str, Any], place: tuple[str, ...]) -> Any:
    """Return a manifest with a mark for each value, and add them to `values`; what differs from the value found first stays as it is."""
    for name, ends in _PLACES.items():
        if any(place[-len(end) :] == end for end in ends) and values.setdefault(name, node) == node:
            return f"@@{name}@@"
    if isinstance(node, dict):
        return {key: _marked(each, values, (*place, key)) for key, each in node.items()}
    return [_marked(each, values, place) for each in node] if isinstance(node, list) else node


def _reference(name: str, values: Mapping[str, Any]) -> str:
    value = values[name]
    filtered = " | quote" if isinstance(value, str) else " | toJson" if isinstance(value, dict) else ""
    return f"{{{{ .Values.{name}{filtered} }}}}"
