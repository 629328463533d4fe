"""Routes from outside: an HTTPRoute to the Service, or to an InferencePool, whose endpoint picker chooses the replica."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Problem, Run
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

_PICKER_PORT = 9002  # of the endpoint picker of the inference extension
_PICKED = ("vllm", "sglang")  # backends whose metrics it reads


def http_route(server: ServedRun) -> Json:
    """Return the HTTPRoute of all paths; answers may take as long as the server lets them."""
    options = server.options
    namespace, _, gateway = options.gateway.rpartition("/")
    parent = {"name": gateway, **({"namespace": namespace} if namespace else {})}
    pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": server.name}
    entry = {"name": f"{server.name}-gateway", "port": 8000} if not server.replicas[0] else {"name": server.name, "port": server.port}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [pool if options.route == "inferencepool" else entry],
        "timeouts": {"request": "0s"},  # none: a streamed answer takes minutes
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": server.metadata(),
        "spec": {"parentRefs": [parent], **({"hostnames": [options.hostname]} if options.hostname else {}), "rules": [rule]},
    }


def inference_pool(server: ServedRun) -> Json:
    """Return the InferencePool of the replicas. Its endpoint picker is a Service that the cluster has, such as that of its Helm chart."""
    name, _, port = server.options.endpoint_picker.partition(":")
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": server.metadata(),
        "spec": {
            "selector": {"matchLabels": server.selector()},
            "targetPorts": [{"number": server.port}],
            "endpointPickerRef": {"name": name or f"{server.name}-epp", "port": {"number": int(port or _PICKER_PORT)}},
        },
    }


def problems(run: Run, options: KubernetesOptions) -> Iterator[Problem]:
    """Yield what is wrong with the route."""
    if options.route == "none":
        for name in ("gateway", "hostname", "endpoint_picker"):
            if getattr(options, name):
                message, hint = "there is no route that it would belong to", "Add --launcher.route httproute, or leave it out."
                yield Problem(code="NODE-039", where=f"launcher.{name}", message=message, hint=hint)
        return
    if not options.gateway.rpartition("/")[2]:
        message, hint = "a route belongs to a Gateway", "Name it: --launcher.gateway infrastructure/public."
        yield Problem(code="NODE-040", where="launcher.gateway", message=message, hint=hint)
    if options.route == "inferencepool":
        if options.autoscale.startswith("0"):
            message, hint = (
                "an endpoint picker can't wake a server that has no replica",
                "Use --launcher.route httproute, or --autoscale 1:8.",
            )
            yield Problem(code="NODE-041", where="launcher.route", message=message, hint=hint)
        if (backend := run.part("backend").name) not in _PICKED:
            message = f"endpoint pickers read the metrics of vLLM and SGLang, and {backend} has others"
            yield Problem(code="NODE-042", where="launcher.route", message=message, hint="Use --launcher.route httproute.")
    elif options.endpoint_picker:
        message, hint = "only an InferencePool has an endpoint picker", "Use --launcher.route inferencepool, or leave it out."
        yield Problem(code="NODE-043", where="launcher.endpoint_picker", message=message, hint=hint)
