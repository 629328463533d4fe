"""The error codes of this repository, read from its sources.

Every call that makes an error (`SwiftError` and its subclasses, `Problem`, and functions with a keyword `code: str`) names a code,
AREA-NNN, or passes on the code of the error it repeats (`code=error.code`). A code means one thing for ever: one that no source names
any more is listed as retired, and is not used again. `python docs/assign_codes.py` numbers new errors.
"""

from __future__ import annotations

import re

from error_causes import CAUSES
from error_sites import ROOT, Site, says_something, sites

PAGE = ROOT / "docs/reference/error-codes.md"
_ROW = re.compile(r"^\| `SWIFT-([A-Z]+-\d{3})` \|", re.MULTILINE)
_RETIRED = "\n## Retired\n"

AREAS = {
    "CLI": "the command line",
    "OPTION": "options, from flags and YAML",
    "PLUGIN": "finding, loading and checking plugins",
    "ENV": "environments and interpreters",
    "CKPT": "checkpoints and their files",
    "MODEL": "model families and loading a model",
    "HUB": "references, hubs and downloads",
    "FILE": "files and disks",
    "DATA": "data sets and rows",
    "TRAIN": "training",
    "RL": "rollouts and rewards",
    "TUNER": "tuners and adapters in training",
    "PARALLEL": "parallel strategies",
    "NODE": "several nodes, launchers and schedulers",
    "RUN": "runs, their folders and workers",
    "PLAN": "plans of memory, disk and time",
    "WIZARD": "the wizard",
    "WEB": "the web page",
    "RECIPE": "recipes",
    "REPORT": "reports",
    "IMPORT": "files of other tools, imported",
    "CONVERT": "merging, quantizing, exporting, comparing",
    "QUANT": "quantizers",
    "EXPORT": "export formats",
    "SERVE": "serving, asking and their backends",
    "EVAL": "evaluation",
    "SANDBOX": "untrusted code",
    "AUDIT": "audit log and provenance",
    "GATEWAY": "gateway over several servers",
    "IMAGE": "container images",
    "TRIGGER": "events and messages of swift trigger",
    "POLICY": "the policy of an organisation",
    "BUNDLE": "bundles for machines without a network",
    "TEST": "the testing kit",
}


def missing() -> list[str]:
    """Return where an error has no code."""
    return [f"{site.file}:{site.call.lineno}" for site in sites() if not site.code and not site.passed]


def registered() -> dict[str, list[Site]]:
    """Return code → the calls that name it, by area and number."""
    named: dict[str, list[Site]] = {}
    for site in sites():
        if site.code:
            named.setdefault(site.code, []).append(site)
    areas = list(AREAS)
    return dict(sorted(named.items(), key=lambda item: (areas.index(item[0].partition("-")[0]), item[0])))


def retired() -> list[str]:
    """Return the codes that the page lists as retired, and those that no source names any more."""
    known = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    gone = known.partition(_RETIRED)[2]
    return sorted(set(_ROW.findall(gone)) | (set(_ROW.findall(known)) - set(registered())))


def page(note: str) -> str:
    """Return the page: by area, code, cause, remedy and where it is raised; then the retired codes."""
    parts = [
        "# Error codes\n\n",
        note,
        "Every error of this repository ends in its code, `[SWIFT-DATA-012]`, whatever becomes of its wording; run folders, events and ",
        "`--json` have it as `code`. `{…}` stands for what the error is about. A plugin gives codes of its own with ",
        '`UsageError(…, code="ACME-001")`, in an area that is not one of these.\n',
    ]
    codes = registered()
    for area, about in AREAS.items():
        rows = [(code, found) for code, found in codes.items() if code.startswith(f"{area}-")]
        if rows:
            parts.append(f"\n## {area}: {about}\n\n| code | cause | remedy | raised in |\n|---|---|---|---|\n")
            parts += [
                f"| `SWIFT-{code}` | {_cell(_causes(code, found))} | {_cell(_of(found, 'hints'))} | {_files(found)} |\n"
                for code, found in rows
            ]
    if gone := retired():
        parts.append(f"{_RETIRED}\nCodes of errors that no longer exist. They are not used again.\n\n| code |\n|---|\n")
        parts += [f"| `SWIFT-{code}` |\n" for code in gone]
    return "".join(parts)


def _causes(code: str, found: list[Site]) -> tuple[str, ...]:
    return (CAUSES[code],) if code in CAUSES else _of(found, "causes")


def _of(found: list[Site], name: str) -> tuple[str, ...]:
    texts = tuple(dict.fromkeys(text for site in found for text in getattr(site, name) if text))
    return texts if name == "causes" else tuple(text for text in texts if says_something((text,)))


def _cell(texts: tuple[str, ...]) -> str:
    return "<br>".join(" ".join(text.replace("|", "\\|").replace("<", "&lt;").split()) for text in texts)


def _files(found: list[Site]) -> str:
    return ", ".join(dict.fromkeys(f"`{re.sub(r'^(plugins|contrib)/[^/]+/(src/)?', '', site.file)}`" for site in found))
