"""Run a recipe: step by step in one parent folder, with one run folder per step and one report.

Servers started by a step are stopped at the end, also after an error. A step whose inputs are unchanged is not run again: its run folder
is found by the run's fingerprint.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from swift_report.page import write_report
from swift_report.runs import STEPS
from swift_serve.report import by_question

from swift_core.contract import Progress, ResultRecord, Run, RunResult, Settings, SwiftError, Watch, note
from swift_core.plugins import registry
from swift_core.runs import Context, carry_out, launch_variables, resolve, running_server
from swift_core.system import fingerprint, made_by, paths, read_result, write_result
from swift_recipes.checks import check_steps, in_step
from swift_recipes.recipe import Step, filled, read_recipe, title_of

ANSWERS = "answers.json"  # {question: {step: answer}} of the recipe's ask steps
OnStep = Callable[[Step, str], None]


@dataclass(slots=True)
class Done:
    """A finished step: its values for later steps, its result, and whether it was reused from an earlier run (`kept`)."""

    step: Step
    values: dict[str, str]
    result: ResultRecord = field(default_factory=ResultRecord)
    kept: bool = False


@dataclass(slots=True)
class RecipeRun:
    """One run of a recipe. `on_step` is called with each step and its state: 'start', then 'kept' (reused) or 'done'."""

    recipe: Path
    runs: Path
    progress: Progress | None = None
    watch: Watch | None = None
    on_step: OnStep = lambda step, state: None
    done: dict[str, Done] = field(default_factory=dict)

    def run(self) -> RunResult:
        """Run the steps in order, and write the report, also after an error.

        Raises:
            UsageError: the recipe or an option is invalid, or an engine is not installed; nothing was run.
        SwiftError: a step failed; the results of the steps before it are kept.
        """
        steps = read_recipe(self.recipe)
        check_steps(steps)
        folder = self.runs / f"{datetime.now():%Y%m%d-%H%M%S}-{self.recipe.stem}-{secrets.token_hex(2)}"
        paths.write_text(folder / self.recipe.name, self.recipe.read_text(encoding="utf-8"))
        try:
            with ExitStack() as servers:
                for number, step in enumerate(steps, 1):
                    self.on_step(step, "start")
                    try:
                        finished = self._step(step, folder / f"{number}-{step.id}", servers)
                    except SwiftError as error:
                        raise in_step(error, step) from error.__cause__
                    self.done[step.id] = finished
                    self.on_step(step, "kept" if finished.kept else "done")
        finally:
            self._write_report(folder)
        outputs = [
            item.values["output"]
            for item in self.done.values()
            if item.step.verb.gives not in ("answers", "server", "scores") and item.values["output"]
        ]
        figures = {name: dict(item.result.get("figures", {})) for name, item in self.done.items()}
        result = RunResult(status="done", folder=folder, output=Path(outputs[-1]) if outputs else None, figures=figures)
        write_result(folder, result.to_json())
        return result

    def _step(self, step: Step, home: Path, servers: ExitStack) -> Done:
        settings = Settings(
            filled(step.settings.values, {name: item.values for name, item in self.done.items()}), dict(step.settings.lines)
        )
        if step.verb.gives == "server":
            settings.values.setdefault("port", 0)
        notes = launch_variables.apply(step.verb, settings, registry())
        if self.watch:
            for text in notes:
                self.watch(note(text))
        run = resolve(step.verb, settings, progress=self.progress).run
        model = run.model.path if run.model else ""
        if not step.verb.records:
            result = carry_out(run, Context(runs=self.runs, watch=self.watch))
            return Done(step, {"output": str(result.output or ""), "folder": ""}, result.to_json())
        if step.verb.gives == "server":
            server = servers.enter_context(running_server(run, self.runs, watch=self.watch, folder=home))
            return Done(step, {"url": server.url, "output": model, "folder": str(home)})
        if found := self._kept(run):
            return Done(step, {"output": found["output"], "folder": found["folder"]}, found, kept=True)
        result = carry_out(run, Context(runs=self.runs, watch=self.watch, folder=home))
        paths.write_json(self._entry(run), {"folder": os.path.relpath(home, self.runs)})
        return Done(step, {"output": str(result.output or ""), "folder": str(home)}, result.to_json())

    def _entry(self, run: Run) -> Path:
        return self.runs / ".finished" / f"{fingerprint(run)[:32]}.json"

    def _kept(self, run: Run) -> ResultRecord | None:
        """Return the result of an earlier run with this fingerprint, if its output still exists."""
        try:
            folder = self.runs / json.loads(self._entry(run).read_text(encoding="utf-8"))["folder"]
            result = read_result(folder) or {}
        except (OSError, ValueError, KeyError):
            return None
        made = made_by(folder)
        whole = result.get("status") == "done" and (made is None or made.exists())
        result["folder"], result["output"] = str(folder), str(made or "")
        return result if whole else None

    def _write_report(self, folder: Path) -> None:
        """Write the answers, the folders of the steps, and one report on all of them."""
        asked = {name: Path(item.values["output"]) for name, item in self.done.items() if item.step.verb.gives == "answers"}
        paths.write_json(folder / ANSWERS, by_question(asked))
        steps = [
            {"id": name, "verb": item.step.verb.name, "kept": item.kept, "folder": os.path.relpath(item.values["folder"], folder)}
            for name, item in self.done.items()
            if item.values.get("folder")
        ]
        paths.write_json(folder / STEPS, {"schema": 1, "title": title_of(self.recipe), "steps": steps})
        write_report([folder])
