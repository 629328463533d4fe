"""Probe the servers behind a gateway: whether they are up, what models they have, how full their caches are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from swift_core.contract import UsageError
from swift_gateway.config import secret

if TYPE_CHECKING:
    from swift_gateway.config import GatewayConfig
    from swift_gateway.servers import Pool, Upstream

log = logging.getLogger("swift_gateway")
_TIMEOUT = 5.0
_KV_USAGE = (  # of vLLM (two versions), SGLang and LMDeploy
    "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "lmdeploy:gpu_cache_usage",
)  # fmt: skip


def headers_for(upstream: Upstream) -> dict[str, str]:
    """Return the headers with the key of a server. Raises UsageError if its environment variable is not set."""
    variable = upstream.address.api_key_env
    return {"Authorization": f"Bearer {secret(variable, upstream.url)}"} if variable else {}


async def probe(client: httpx2.AsyncClient, upstream: Upstream) -> None:
    """Record whether a server answers, its models and the use of its key-value cache."""
    try:
        answer = await client.get(f"{upstream.url}/models", headers=headers_for(upstream), timeout=_TIMEOUT)
        answer.raise_for_status()
        models = tuple(str(entry["id"]) for entry in answer.json()["data"])
    except (httpx2.HTTPError, ValueError, LookupError, TypeError, UsageError) as error:
        if upstream.up:
            log.warning("%s is not reachable: %s", upstream.url, str(error) or type(error).__name__)
        upstream.up = False
        return
    if not upstream.up:
        log.info("%s is reachable: %s", upstream.url, ", ".join(models))
    upstream.up, upstream.models = True, models
    upstream.kv_usage = await _kv_usage(client, upstream)


async def probe_forever(client: httpx2.AsyncClient, pool: Pool, read: Callable[[], GatewayConfig | None]) -> None:
    """Probe all servers at the configured interval, and take new configurations.

    Args:
        client: sends the probes.
        pool: the servers.
        read: returns the configuration if it has changed.
    """
    while True:
        if config := read():
            pool.configure(config)
        await asyncio.gather(*(probe(client, upstream) for upstream in pool.upstreams))
        pool.changed()
        await asyncio.sleep(pool.config.probe_interval)


async def _kv_usage(client: httpx2.AsyncClient, upstream: Upstream) -> float | None:
    """Return the share of the key-value cache that is in use; None if the server does not report it."""
    try:
        answer = await client.get(f"{upstream.url.removesuffix('/v1')}/metrics", headers=headers_for(upstream), timeout=_TIMEOUT)
        if answer.status_code != 200:
            return None
        for family in text_string_to_metric_families(answer.text):
            if family.name in _KV_USAGE and family.samples:
                return max(float(sample.value) for sample in family.samples)
    except (httpx2.HTTPError, ValueError):
        return None
    return None
