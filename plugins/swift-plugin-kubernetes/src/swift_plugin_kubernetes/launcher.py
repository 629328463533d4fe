"""Handing a run to a cluster, and following it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swift_nodes.follow_job import follow, hand_over

from swift_core.contract import Watch
from swift_core.system import paths
from swift_plugin_kubernetes.cluster import Cluster
from swift_plugin_kubernetes.manifests import PLURALS, manifests
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Work

MANIFEST = "job.yaml"


class KubernetesLauncher:
    """A run as a job of a cluster. The run folder lies on a volume that is mounted here and in the pods, at the same path."""

    def __init__(self, options: KubernetesOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Write the manifest, submit it and follow the job, as far as was asked for; see `roles.Launcher`."""
        import yaml

        run, options = run.resolve(), self.options
        work = Work(run=run, options=options, processes=processes, nodes=nodes, environment=environment)
        made, path = manifests(work), run / MANIFEST
        paths.write_text(path, yaml.safe_dump_all(made, sort_keys=False))
        if not options.submit:
            return hand_over(watch, "prepared", path, f"Nothing was submitted. To do it: kubectl apply -f {path}")
        cluster = Cluster(options.namespace, PLURALS[options.manifest])
        cluster.create(made)
        if not options.follow:
            text = f"Submitted as {made[0]['kind']} {work.name} in {cluster.namespace}. To stop it: touch {run / 'stop'}"
            return hand_over(watch, "submitted", path, text, job=work.name)
        watch({"event": "note", "text": f"Submitted as {made[0]['kind']} {work.name} in {cluster.namespace}."})
        return follow(run, watch, lambda: cluster.code(made[0]), lambda: cluster.delete(made[0]))
