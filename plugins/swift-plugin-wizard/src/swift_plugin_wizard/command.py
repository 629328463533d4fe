"""Set up a first run by a few questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swift_core.contract import SwiftError, UsageError
from swift_plugin_wizard.asking import Asker
from swift_plugin_wizard.goals import GOALS, TIMES, Answers, Goal, goal_named
from swift_plugin_wizard.texts import LANGUAGES, language_of_locale, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_plan import Plan


@click.command("wizard", short_help="Answer a few questions to get a YAML file, a plan and a run")
@click.option("--goal", type=click.Choice([goal.name for goal in GOALS]), help="What you want.")
@click.option("--model", default="", help="Folder or reference of the model.")
@click.option("--data", default="", help="File, folder or name of the data.")
@click.option("--time", "time", type=click.Choice(list(TIMES)), help="How long it may take.")
@click.option("--output", type=click.Path(path_type=Path), help="The YAML file to write.")
@click.option("--start/--no-start", default=None, help="Start the run, or only write the file.")
@click.option("--language", type=click.Choice(LANGUAGES), default=None, help="Language of the questions; default: by locale.")
def command(  # noqa: PLR0917  # click passes them by name
    goal: str | None, model: str, data: str, time: str | None, output: Path | None, start: bool | None, language: str | None
) -> int:
    """Set up a first run by questions: what you want, which model, where the data is, how long it may take.

    The answers become a YAML file, a command line and a plan. Each question has a default that works; one that a flag answers is not
    asked, so that with all flags no terminal is needed.
    """
    wizard = Wizard(language or language_of_locale())
    chosen = goal_named(goal or wizard.goal())
    model = model or wizard.model()
    if not chosen.rows:
        options: Mapping[str, Any] = {"run": chosen.verb, "model": model}
        wizard.show("command", _line(options))
        return wizard.start(options, None, start)
    labels = 0
    if data:
        labels = wizard.look(data, chosen)
    else:
        data, labels = wizard.data(chosen)
        wizard.mask(data, model, chosen)
    time = time or wizard.time()
    file = output or Path(wizard.file(chosen))
    if file.exists() and output:
        raise UsageError("the file already exists", code="WIZARD-004", where=str(file), hint="Choose another one with --output.")
    return wizard.finish(Answers(chosen, model, data, time, labels), file, start)


def _line(options: Mapping[str, Any]) -> str:
    from swift_plugin_wizard.writing import command_of

    return command_of(options)


class Wizard:
    """The questions in a language, and what is shown between them."""

    def __init__(self, language: str) -> None:
        self.language, self.asker = language, Asker()

    def say(self, name: str, **values: object) -> str:
        """Return a text in the wizard's language."""
        return text(name, self.language, **values)

    def show(self, name: str, value: str) -> None:
        """Print a text and a value below it."""
        click.echo(f"\n{self.say(name)}\n  {value}")

    def goal(self) -> str:
        """Ask what the user wants."""
        choices = [(goal.name, self.say(goal.name)) for goal in GOALS]
        return self.asker.choose(self.say("goal"), choices, flag="--goal", default="answer")

    def model(self) -> str:
        """Ask for a model: those on this machine first."""
        from swift_plugin_wizard.offers import first, offers

        found = offers()
        choices = [(offer.model, f"{offer.title}  ({self._state(offer)})  {offer.model}") for offer in found]
        asked = self.asker.choose(self.say("model"), [*choices, ("", self.say("other model"))], flag="--model", default=first(found).model)
        return asked or self.asker.text(self.say("model name"), flag="--model", default=found[-1].model)

    def _state(self, offer: Any) -> str:
        return self.say("here" if offer.here else "fits" if offer.fits is not False else "large")

    def data(self, goal: Goal) -> tuple[str, int]:
        """Ask for the data until it can be used; return it with its number of labels."""
        while True:
            name = self.asker.text(self.say("data"), flag="--data", default=goal.sample)
            try:
                return name, self.look(name, goal)
            except SwiftError as error:
                click.secho(f"  {error}", fg="red")

    def look(self, name: str, goal: Goal) -> int:
        """Check the data, show what was found, and return its number of labels."""
        from swift_plugin_wizard.data import look

        found = look(name, [goal.rows])
        click.echo(f"  {self.say('rows', rows=found.rows, bad=found.bad)}")
        click.echo(f"  {self.say('row')} {found.first}")
        return found.labels

    def mask(self, name: str, model: str, goal: Goal) -> None:
        """Show what of the first row the model learns, if the model is on this machine."""
        from swift_plugin_wizard.data import masked

        if found := masked(name, model, goal.verb):
            click.echo(f"  {self.say('mask')}\n  {found}")

    def time(self) -> str:
        """Ask how long it may take."""
        return self.asker.choose(self.say("time"), [(name, self.say(name)) for name in TIMES], flag="--time", default="minutes")

    def file(self, goal: Goal) -> str:
        """Ask which file to write; the default is one that does not exist."""
        names = [f"{goal.verb}.yaml", *(f"{goal.verb}-{number}.yaml" for number in range(2, 1000))]
        default = next(name for name in names if not Path(name).exists())
        return self.asker.text(self.say("file"), flag="--output", default=default)

    def finish(self, answers: Answers, file: Path, start: bool | None) -> int:
        """Write the file, show the command and the plan, and start."""
        from swift_core.system import write_text
        from swift_plugin_wizard.writing import command_of, options_of, yaml_of

        options = options_of(answers)
        if plan := self._plan(options):
            options = options_of(answers, seconds=plan.seconds)
            plan = replace(plan, steps=options["max_steps"])
        write_text(file, yaml_of(options))
        click.echo(f"\n{self.say('written', file=file)}")
        self.show("command", command_of(options))
        if plan:
            from swift_plan.text import lines

            self.show("plan", "\n  ".join(lines(plan)))
        return self.start(options, file, start)

    def _plan(self, options: Mapping[str, Any]) -> Plan | None:
        """Return the plan by formulas; None if the model is not here, so that nothing is downloaded for it."""
        from swift_plan import plan

        from swift_core.contract import Settings
        from swift_core.plugins import verb_named
        from swift_core.runs import resolve

        settings = Settings({name: value for name, value in options.items() if name != "run"} | {"plan": False, "offline": True})
        try:
            run = resolve(verb_named(str(options["run"])), settings).run
        except SwiftError:
            return None
        return plan(run, trace=False)

    def start(self, options: Mapping[str, Any], file: Path | None, start: bool | None) -> int:
        """Start the run, if the user wants it."""
        words = [str(options["run"]), str(file) if file else str(options["model"])]
        if start is None:
            start = self.asker.confirm(self.say("start"), flag="--start or --no-start")
        if not start:
            click.echo(f"\n{self.say('later', command=' '.join(['swift', *words]))}")
            return 0
        from swift_core.cli import invoke

        return invoke(words)
