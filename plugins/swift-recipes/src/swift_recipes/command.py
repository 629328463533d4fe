"""Run a recipe (`steps:`), or one verb from a YAML file (`run: sft`)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from swift_core.cli import Screen, command_for
from swift_core.options import read_yaml
from swift_core.plugins import local, verb_named
from swift_recipes.recipe import Step
from swift_recipes.runner import ANSWERS, RecipeRun


@click.command("run", short_help="Run a recipe, or one verb from a YAML file", context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--runs", default="runs", show_default=True, help="Folder to create the run folders in.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, file: Path, runs: str, as_json: bool, rest: tuple[str, ...]) -> None:
    """Run a recipe, or one verb from a YAML file with `run: VERB`; flags after the file override its options."""
    settings = read_yaml(file)
    if "steps" not in settings.values and "run" in settings.values:
        local.use_local_plugins(settings.values.get("plugins", ()), where=settings.where("plugins"))
        verb = verb_named(str(settings.values["run"]), where=settings.where("run"))
        other = command_for(verb)
        with other.make_context(
            verb.name, [str(file), "--runs", runs, *(["--json"] if as_json else []), *rest], parent=ctx.parent
        ) as inner:
            other.invoke(inner)
        return
    if rest:
        raise click.UsageError(f"a recipe takes no options: {' '.join(rest)}", ctx)
    with Screen(quiet=as_json) as screen:
        result = RecipeRun(file, Path(runs), screen.download, screen.watch, on_step=lambda step, state: _step(screen, step, state)).run()
    if as_json:
        click.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    for line in _side_by_side(result.folder):
        click.echo(line)
    click.echo(f"report: {result.folder / 'report.html'}")
    if result.output:
        output = shlex.quote(str(result.output))
        click.echo(
            f"output: {output}" if result.output.is_file() else f"next:\n  swift infer {output}\n  swift serve {output}\n  swift sft --help"
        )


def _step(screen: Screen, step: Step, state: str) -> None:
    screen.close()
    if not screen.quiet and state != "done":
        text = f"[{step.id}] {step.verb.summary}" if state == "start" else f"[{step.id}] unchanged: reused from an earlier run"
        click.secho(text, bold=state == "start", err=True)


def _side_by_side(folder: Path) -> list[str]:
    """Return the lines with the answers of the recipe's ask steps, grouped by question."""
    lines = []
    for question, given in json.loads((folder / ANSWERS).read_text(encoding="utf-8")).items():
        lines.append(click.style(question, bold=True))
        width = max(map(len, given))
        lines += [f"  {name:<{width}}  {' '.join(answer.split())[:300]}" for name, answer in given.items()]
    return lines
