"""`report.html`: the sections of the installed plugins, on one page without scripts that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from swift_core.contract import SectionSpec, UsageError, __version__
from swift_core.plugins import registry
from swift_core.system import write_text
from swift_report.parts import joined
from swift_report.runs import STEPS, ReportedRun, opened

REPORT = "report.html"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PAGE = Markup(
    "<!doctype html>\n"
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="color-scheme" content="light dark">'
    "<title>{title}</title><style>{style}</style></head>\n"
    "<body><header><h1>{title}</h1><p>{subtitle}</p>{contents}</header><main>{body}</main>"
    "<footer>swift-core {version}</footer></body></html>\n"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A section that is shown: its anchor, its heading, its content."""

    name: str  # its anchor
    title: str  # its heading
    content: Markup  # the HTML below the heading


def write_report(folders: Sequence[Path], output: Path | None = None, *, names: Sequence[str] = (), title: str = "") -> Path:
    """Write the report of run folders, and return its path.

    Args:
        folders: of runs or recipes.
        output: the file; default: `report.html` in the folder, if it is one.
        names: what the report calls the runs; default: the ids of a recipe's steps, and the names of folders.
        title: the heading; default: the verb and its model.

    Raises:
        UsageError: a folder is not a run folder, there is no place for the report, or the names are not one per run.
    """
    if output is None:
        if len(folders) != 1:
            raise UsageError(
                "several runs need a file for their report", code="REPORT-002", where="--output", hint="Add --output FILE.html."
            )
        output = folders[0] / REPORT
    runs = _named([run for folder in folders for run in opened(folder)], names)
    recipes = [str(steps["title"]) for folder in folders if (steps := ReportedRun("", folder, None, {}).json(STEPS)).get("title")]
    heading = title or " · ".join(recipes if len(recipes) == len(folders) else dict.fromkeys(map(_title, runs)))
    write_text(output, page(heading, _subtitle(runs), list(sections(runs))))
    return output


def sections(runs: Sequence[ReportedRun]) -> Iterator[Section]:
    """Yield the sections with content, in their order; one that fails has its error as content."""
    for entry in sorted(registry().entries(SectionSpec), key=lambda entry: entry.spec.order):
        try:
            content = Markup.escape(entry.spec.content.load()(runs))
        except Exception as error:  # a third party's section must not take the others along
            message = f"The section '{entry.spec.name}' of {entry.plugin.distribution} failed: {type(error).__name__}: {error}"
            content = Markup("<p class=error>{}</p>").format(message)
        if content:
            yield Section(entry.spec.name, entry.spec.title, content)


def page(title: str, subtitle: Markup | str, shown: Sequence[Section]) -> str:
    """Return a page as HTML."""
    style = resources.files("swift_report").joinpath("report.css").read_text(encoding="utf-8")
    links = joined(Markup('<a href="#{}">{}</a> ').format(section.name, section.title) for section in shown)
    body = joined(
        Markup('<section id="{}"><h2>{}</h2>{}</section>\n').format(section.name, section.title, section.content) for section in shown
    )
    contents = Markup('<nav aria-label="Contents">{}</nav>').format(links) if len(shown) > 2 else ""
    return _PAGE.format(
        policy=_POLICY, title=title, subtitle=subtitle, style=Markup(style), contents=contents, body=body, version=__version__
    )


def _named(runs: list[ReportedRun], names: Sequence[str]) -> list[ReportedRun]:
    """Return the runs with unique names."""
    if names and len(names) != len(runs):
        message = f"{len(names)} names for {len(runs)} runs"
        raise UsageError(message, code="REPORT-003", where="--name", hint="Give --name once per run, in their order.")
    chosen = list(names) or [run.name for run in runs]
    return [
        replace(run, name=name if chosen.count(name) == 1 else f"{name} ({number})")
        for number, (run, name) in enumerate(zip(runs, chosen, strict=True), 1)
    ]


def _title(run: ReportedRun) -> str:
    if run.run is None:
        return run.name
    model = run.run.model.reference if run.run.model else ""
    server = run.run.server.url if run.run.server else ""
    return f"{run.run.verb} {(model or server).rstrip('/').rpartition('/')[2]}".strip()


def _subtitle(runs: Sequence[ReportedRun]) -> Markup:
    if len(runs) != 1:
        return Markup("{} runs: {}").format(len(runs), ", ".join(run.name for run in runs))
    status = str(runs[0].result.get("status", "running"))
    return Markup('<span class="status {0}">{0}</span> {1}').format(status, runs[0].name)
