"""`report.html`: a self-contained page with the settings, loss curves, figures, answers, versions and hashes of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from swift_core.contract import Choice, Run, __version__
from swift_core.system import format_value, read_result, read_run, write_text
from swift_recipes.charts import line_chart

_STYLE = """
:root{color-scheme:light dark;--ink:#1f2937;--soft:#6b7280;--line:#e5e7eb;--paper:#fff;--card:#f9fafb}
@media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--soft:#9ca3af;--line:#374151;--paper:#111827;--card:#1f2937}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:860px;margin:2.5rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}.sub{color:var(--soft);margin:.2rem 0 1.5rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--soft);white-space:nowrap}td{overflow-wrap:anywhere}code,.mono{font:13px/1.5 ui-monospace,monospace}
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}.grid{stroke:var(--line)}
.legend span{margin-right:1.2rem;color:var(--soft)}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin-right:.4rem;vertical-align:-1px}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .9rem}
.tile b{display:block;font-size:1.15rem}.tile span{color:var(--soft);font-size:.85rem}.answer{white-space:pre-wrap}
"""


def write_report(folder: Path) -> Path:
    """Write the report of a run folder and return its path."""
    run, result = read_run(folder), read_result(folder) or {}
    title = f"{run.verb}: {run.model.reference if run.model else folder.name}"
    body = [_tiles(result.get("figures", {})), curves(folder), _rows(folder), _asked(run), _sources(run), _versions(run)]
    if error := result.get("error"):
        body.insert(0, f'<h2>Error</h2><p class="answer">{escape(str(error))}</p>')
    return write_page(folder / "report.html", title, f"{result.get('status', 'running')} · {folder.name}", body)


def write_page(path: Path, title: str, subtitle: str, body: Sequence[str]) -> Path:
    """Write a page; `body` holds pieces of HTML, inserted unescaped."""
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    foot = f'<p class="sub">swift-core {__version__}</p></html>'
    write_text(path, f'{head}<h1>{escape(title)}</h1><p class="sub">{escape(subtitle)}</p>{"".join(body)}{foot}\n')
    return path


def curves(folder: Path) -> str:
    """Return the loss curve of a run folder as HTML, with the validation loss if there is one; '' without metrics."""
    lines = [json.loads(line) for line in _text(folder / "metrics.jsonl").splitlines()]
    series = {
        "loss": [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None],
        "validation loss": [(line["step"], line["heldout_loss"]) for line in lines if line.get("heldout_loss") is not None],
    }
    chart = line_chart(series, x_label="step")
    return f"<h2>Loss</h2>{chart}" if chart else ""


def answers_by_question(columns: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Join several `answers.jsonl` files to {question: {column: answer}}, in the order of the questions."""
    rows: dict[str, dict[str, str]] = {}
    for name, path in columns.items():
        for line in _text(path).splitlines():
            item = json.loads(line)
            rows.setdefault(item["question"], {})[name] = item["answer"].strip()
    return rows


def answers_table(rows: Mapping[str, Mapping[str, str]]) -> str:
    """Return an HTML table with the answers side by side."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for given in rows.values() for name in given))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = ""
    for question, given in rows.items():
        cells = "".join(f"<td class=answer>{escape(format_value(given.get(name)))}</td>" for name in columns)
        body += f"<tr><td>{escape(question)}</td>{cells}</tr>"
    return f"<h2>Answers</h2><table><tr><th>question</th>{head}</tr>{body}</table>"


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Return an HTML table with two columns: names and values."""
    return f"<table>{''.join(f'<tr><th>{escape(name)}</th><td>{escape(format_value(value))}</td></tr>' for name, value in rows)}</table>"


def _tiles(figures: Mapping[str, Any]) -> str:
    tiles = [
        f"<div class=tile><b>{escape(format_value(value))}</b><span>{escape(name.replace('_', ' '))}</span></div>"
        for name, value in figures.items()
        if not isinstance(value, Mapping | list)
    ]
    return f"<h2>Figures</h2><div class=tiles>{''.join(tiles)}</div>" if tiles else ""


def _rows(folder: Path) -> str:
    """Return how rows were batched in training, and the measurements behind that choice."""
    found = _json(folder / "parallel.json").get("rows")
    if not found:
        return ""
    way = (
        f"Several per forward pass, separated by {found['boundaries']}" if found["together"] else f"One per forward pass: {found['reason']}"
    )
    return f"<h2>Rows</h2><p>{escape(way)}.</p>{table(found['figures'].items())}"


def _asked(run: Run) -> str:
    rows: list[tuple[str, Any]] = [(name, value) for name, value in run.options.items() if value not in (None, "", [], False)]
    rows += [(part, _choice(choice)) for part, choice in run.parts.items()]
    rows += [("dataset", f"{choice.asked} {format_value(choice.options) if choice.options else ''}") for choice in run.datasets]
    rows += [("validation dataset", choice.asked) for choice in run.validation]
    return f"<h2>Settings</h2>{table(rows)}"


def _choice(choice: Choice) -> str:
    return f"{choice.name} ({choice.distribution} {choice.version}) {format_value(choice.options) if choice.options else ''}"


def _sources(run: Run) -> str:
    sources = {"model": run.model, **{f"adapter {name}": source for name, source in run.adapters.items()}}
    rows = [(name, f"{source.reference} · sha256 {source.hash}") for name, source in sources.items() if source]
    rows += [(f"data: {choice.asked}", f"sha256 {choice.hash}") for choice in (*run.datasets, *run.validation) if choice.hash]
    return f"<h2>Sources</h2>{table(rows)}" if rows else ""


def _versions(run: Run) -> str:
    versions = run.made_with()
    return f"<h2>Versions</h2>{table(sorted(versions.items()))}"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(_text(path) or "{}")  # type: ignore[no-any-return]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
