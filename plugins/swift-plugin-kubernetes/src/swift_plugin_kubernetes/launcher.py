"""Submit a run to a Kubernetes cluster and follow it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swift_nodes.follow_job import follow, hand_over

from swift_core.contract import Watch, note
from swift_core.system import paths
from swift_plugin_kubernetes.cluster import Cluster
from swift_plugin_kubernetes.manifests import PLURALS, manifests
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Workload

MANIFEST = "job.yaml"


class KubernetesLauncher:
    """Launches a run as a job. The run folder must be on a volume mounted at the same path here and in the pods."""

    def __init__(self, options: KubernetesOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Write the manifest and, unless disabled by the options, submit it and follow the job; see `roles.Launcher`.

        Raises:
            UsageError: the package kubernetes is missing, no cluster is configured, or a volume is malformed.
            SwiftError: the cluster refused the job or can't be reached.
        """
        import yaml

        run, options = run.resolve(), self.options
        workload = Workload(run=run, options=options, processes=processes, nodes=nodes, environment=environment)
        made, path = manifests(workload), run / MANIFEST
        paths.write_text(path, yaml.safe_dump_all(made, sort_keys=False))
        if not options.submit:
            return hand_over(watch, "prepared", path, f"Not submitted. To submit: kubectl apply -f {path}")
        cluster = Cluster(options.namespace, PLURALS[options.manifest])
        cluster.create(made)
        if not options.follow:
            text = f"Submitted as {made[0]['kind']} {workload.name} in {cluster.namespace}. To stop it: touch {run / 'stop'}"
            return hand_over(watch, "submitted", path, text, job=workload.name)
        watch(note(f"Submitted as {made[0]['kind']} {workload.name} in {cluster.namespace}."))
        return follow(run, watch, lambda: cluster.exit_code(made[0]), lambda: cluster.delete(made[0]))
