"""Data: the files of the page's folders, an upload, a data set with its counts and errors, and a row as the model sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from swift_plan.text import size

from swift_core.contract import DatasetSpec, UsageError
from swift_core.plugins import registry
from swift_plugin_web.drawing import draw
from swift_plugin_web.jobs import ask
from swift_plugin_web.places import check_values, file_name, inside
from swift_plugin_web.requests import gets, posts, site_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

    from swift_plugin_web.site import Site

_MOST_FILES = 300
_CHUNK = 1 << 20


def routes() -> list[BaseRoute]:
    """Return the routes of the data."""
    return [gets("/data", _page), posts("/data/upload", _upload)]


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: str


async def _page(request: Request) -> Response:
    site, query = site_of(request), request.query_params
    name, model, row = query.get("set", ""), query.get("model", ""), query.get("row", "1")
    checked = shown = None
    pieces: list[list[dict[str, Any]]] = []
    if name:
        check_values({"dataset": name, "model": model}, site.folders)
        number = int(row) if row.isdigit() else 1
        checked = await run_in_threadpool(_checked, site, name)
        shown, pieces = await run_in_threadpool(_row, site, name, model, number)
    return draw(
        request, "data.html", name=name, model=model, row=row, checked=checked, shown=shown, pieces=pieces, files=_files(site),
        suffixes=_suffixes(),
    )  # fmt: skip


async def _upload(request: Request, form: FormData) -> Response:
    site, file = site_of(request), form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise UsageError("no file was chosen", code="WEB-014")
    target = inside(site.folders[0] / file_name(file.filename, _suffixes()), site.folders)
    if target.exists():
        raise UsageError(f"the file '{target.name}' already exists", code="WEB-015", hint="Rename the file that you upload.")
    aside, written = target.with_name(f".{target.name}.part"), 0
    try:
        with aside.open("xb") as out:
            while chunk := await file.read(_CHUNK):
                written += len(chunk)
                if written > site.max_upload:
                    raise UsageError(
                        f"the file is larger than {size(site.max_upload)}",
                        code="WEB-016",
                        hint="swift web --max-upload allows larger files.",
                    )
                out.write(chunk)
        aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)
    return RedirectResponse(f"/data?{urlencode({'set': target.name})}", 303)


def _checked(site: Site, name: str) -> dict[str, Any]:
    """Check a set as `swift data check` does, without a model."""
    found: dict[str, Any] = ask(site, "data", "check", name, "--json")
    return found


def _row(site: Site, name: str, model: str, number: int) -> tuple[str, list[list[dict[str, Any]]]]:
    """Return a row as `swift data show` does: as JSON, and with a model its pieces, each with its weight in the loss."""
    words = ("--model", model, "--offline") if model else ()
    answer = ask(site, "data", "show", name, "--row", str(number), "--json", *words)
    sequences = [sequence["pieces"] for sequence in answer.get("sequences") or ()]
    return json.dumps(answer["row"], indent=2, ensure_ascii=False), sequences


def _files(site: Site) -> list[_File]:
    found: list[Path] = []
    for folder in site.folders:
        found += [path for path in sorted(folder.glob("*")) if path.is_file() and path.suffix in _suffixes()]
    base = site.folders[0]
    return [
        _File(str(path.relative_to(base)) if path.is_relative_to(base) else str(path), size(path.stat().st_size))
        for path in found[:_MOST_FILES]
    ]


def _suffixes() -> list[str]:
    return sorted({suffix for spec in registry().all(DatasetSpec) for suffix in spec.suffixes})
