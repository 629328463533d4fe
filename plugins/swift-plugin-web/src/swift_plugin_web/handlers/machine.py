"""Plugins and environments of engines, and the models on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from swift_plan.text import size

from swift_core.contract import UsageError
from swift_core.system import cache_dir
from swift_plugin_web import jobs
from swift_plugin_web.drawing import draw
from swift_plugin_web.places import inside
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site


def routes() -> list[BaseRoute]:
    """Return the routes of plugins and models."""
    return [
        gets("/plugins", _plugins), posts("/plugins/environment", _make), gets("/models", _models), posts("/models/delete", _delete),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Local:
    """A model on this machine. Those in the page's folders or in a hub's cache can be deleted."""

    reference: str
    folder: Path
    bytes: int
    removable: bool

    @property
    def size(self) -> str:
        """Its size for display."""
        return size(self.bytes)


async def _plugins(request: Request) -> Response:
    found = await run_in_threadpool(jobs.ask, site_of(request), "plugins", "list", "--json")
    plugins = [
        {
            "distribution": record["distribution"], "version": record["version"], "error": record["failure"],
            "offers": ", ".join(f"{offer['kind']} {offer['name']}" for offer in record["offers"]),
        }
        for record in found
    ]  # fmt: skip
    engines = {
        record["distribution"]: {"name": offer["name"], "distribution": record["distribution"], "ready": not offer["missing"]}
        for record in found
        for offer in record["offers"]
        if offer["missing"] or offer["environment"]
    }
    return draw(request, "plugins.html", plugins=plugins, engines=list(engines.values()))


async def _make(request: Request, form: FormData) -> Response:
    site, name = site_of(request), str(form.get("name") or "")
    known = await run_in_threadpool(jobs.ask, site, "plugins", "list", "--json")
    if name not in {offer["name"] for record in known for offer in record["offers"] if offer["missing"]}:
        raise UsageError("no missing engine has this name", code="WEB-018", where=name[:100])
    await run_in_threadpool(jobs.start, site, "env", None, ("create", name, "--yes"))
    return RedirectResponse("/runs", 303)


async def _models(request: Request) -> Response:
    site = site_of(request)
    found: list[Any] = await run_in_threadpool(lambda: sorted(models(site), key=lambda model: -model.bytes))
    free = size(shutil.disk_usage(site.folders[0]).free)
    return draw(request, "models.html", models=found, total=size(sum(model.bytes for model in found)), free=free)


async def _delete(request: Request, form: FormData) -> Response:
    site, folder = site_of(request), Path(str(form.get("folder") or ""))
    chosen = next((model for model in models(site) if model.removable and model.folder == folder), None)
    if chosen is None:
        raise UsageError("this is not a model that the page may delete", code="WEB-019", where=str(folder)[:200])
    await run_in_threadpool(shutil.rmtree, inside(chosen.folder, [*site.folders, *_caches()]))
    return RedirectResponse("/models", 303)


def models(site: Site) -> Iterator[Local]:
    """Yield the checkpoints in the page's folders and runs, and those in the caches of hubs."""
    for folder in site.folders:
        for config in sorted((*folder.glob("*/config.json"), *folder.glob("*/adapter_config.json"))):
            yield Local(config.parent.name, config.parent, _bytes(config.parent), not config.parent.is_symlink())
    for config in sorted((*site.runs.glob("*/output/config.json"), *site.runs.glob("*/output/adapter_config.json"))):
        yield Local(f"{site.runs.name}/{config.parent.parent.name}/output", config.parent, _bytes(config.parent), True)
    for path in sorted(_hf_cache().glob("models--*--*")):
        yield Local("hf:" + path.name.removeprefix("models--").replace("--", "/", 1), path, _bytes(path), True)
    for config in sorted(cache_dir("checkpoints").glob("*/config.json")):
        yield Local(f"{config.parent.name[:12]}…", config.parent, _bytes(config.parent), True)


def _hf_cache() -> Path:
    given = os.environ.get("HF_HUB_CACHE")
    return Path(given) if given else Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"


def _caches() -> list[Path]:
    return [_hf_cache(), cache_dir("checkpoints")]


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
