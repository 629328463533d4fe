"""Runs: the list, one run with its live curves, several compared, stop and resume."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from swift_report import report

from swift_core.contract import UsageError
from swift_core.runs import STOP_FILE
from swift_plugin_web import jobs, running
from swift_plugin_web.drawing import draw
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site

_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
_MOST_COMPARED = 12


def routes() -> list[BaseRoute]:
    """Return the routes of runs."""
    return [
        gets("/runs", _list), gets("/runs/compare", _compare), gets("/runs/{name}", _run), gets("/runs/{name}/live", _live),
        gets("/runs/{name}/report", _report), posts("/runs/{name}/stop", _stop), posts("/runs/{name}/resume", _resume),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command without a run folder: it is starting, or did not start."""

    verb: str
    alive: bool
    text: str


async def _list(request: Request) -> Response:
    site = site_of(request)
    runs = await run_in_threadpool(running.all_runs, site.runs)
    newest = jobs.jobs(site)[:1]
    waiting = [_Waiting(job.verb, job.alive, jobs.tail(job.log(site))) for job in newest if job.folder(site) is None]
    return draw(request, "runs.html", runs=runs, waiting=waiting)


async def _run(request: Request) -> Response:
    site, folder = site_of(request), _folder(request)
    values = await run_in_threadpool(_values, site, folder)
    run = values["run"]
    settings = json.dumps(run.run.to_json(), indent=2, ensure_ascii=False)
    resumable = run.status in ("stopped", "failed") and _job_of(site, folder) is not None and "task" in run.run.parts
    return draw(request, "run.html", settings=settings, report=(folder / "report.html").is_file(), resumable=resumable, **values)


async def _live(request: Request) -> Response:
    values = await run_in_threadpool(_values, site_of(request), _folder(request))
    response = draw(request, "live.html", **values)
    response.headers["x-run-status"] = str(values["run"].status)
    return response


async def _report(request: Request) -> Response:
    file = _folder(request) / "report.html"
    if not file.is_file():
        raise UsageError("this run has no report yet", code="WEB-006", hint="It is written when the run ends.")
    return HTMLResponse(file.read_text(encoding="utf-8"), headers={"content-security-policy": _REPORT_POLICY})


async def _compare(request: Request) -> Response:
    site = site_of(request)
    folders = [running.run_named(site.runs, name) for name in request.query_params.getlist("run")[:_MOST_COMPARED]]
    if not folders:
        return RedirectResponse("/runs", 303)
    site.work.mkdir(parents=True, exist_ok=True)
    file = await run_in_threadpool(lambda: report(*folders, output=site.work / "compare.html"))
    return HTMLResponse(file.read_text(encoding="utf-8"), headers={"content-security-policy": _REPORT_POLICY})


async def _stop(request: Request, form: FormData) -> Response:
    del form
    folder = _folder(request)
    (folder / STOP_FILE).touch()
    return RedirectResponse(f"/runs/{folder.name}", 303)


async def _resume(request: Request, form: FormData) -> Response:
    del form
    site, folder = site_of(request), _folder(request)
    job = _job_of(site, folder)
    if job is None:
        raise UsageError("this run was not started from this page", code="WEB-007", hint=f"Run its command again with --resume {folder}.")
    await run_in_threadpool(jobs.start, site, job.verb, None, (*job.words[1:], "--resume", str(folder)))
    return RedirectResponse("/runs", 303)


def _folder(request: Request) -> Path:
    return running.run_named(site_of(request).runs, request.path_params["name"])


def _values(site: Site, folder: Path) -> dict[str, Any]:
    return {
        "run": running.shown(folder), "curves": running.curves([folder]), "log": running.log_of(folder), "notes": running.notes_of(folder),
        "server": running.servers(site.runs).get(folder.name),
    }  # fmt: skip


def _job_of(site: Site, folder: Path) -> jobs.Job | None:
    for job in jobs.jobs(site):
        found = job.folder(site)
        if found is not None and (site.folders[0] / found).resolve() == folder.resolve():
            return job
    return None
