"""Click commands of verbs; their flags are those of the verb and of the parts that the command line chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import click

from swift_core.cli.output import note
from swift_core.cli.provision import OPTIONS, resolve_with_engines
from swift_core.cli.screen import Screen
from swift_core.contract import Run, RunResult, Settings, UsageError, VerbSpec
from swift_core.options import Flag, adopt, flags, other_tools
from swift_core.plugins import registry, verb_named
from swift_core.runs import launch_variables

_POSITIONALS = {"": "[FILE.yaml]", "model": "[MODEL | FILE.yaml]", "dataset": "[DATASET… | FILE.yaml]"}
_METAVARS = {"string": "TEXT", "integer": "INTEGER", "number": "NUMBER", "array": "VALUE…", "object": "JSON"}


class FlagsCommand(click.Command):
    """A command whose flags are determined when it is called; `help_text` of a subclass replaces the verb's summary."""

    help_text = ""

    def __init__(self, verb: VerbSpec, *, help_text: str = "") -> None:
        self.verb = verb
        self.positional = verb.positional
        self._flags: dict[str, Flag] = {}
        self._settings = Settings()
        super().__init__(
            verb.name.rpartition(" ")[2],
            callback=self._call,
            help=help_text or self.help_text or f"{verb.summary}.",
            short_help=verb.summary,
            options_metavar=f"{_POSITIONALS[verb.positional]} [OPTIONS]",
            context_settings={"allow_extra_args": True},  # reported with our own message
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Determine the flags, rewrite the arguments for click, and let click parse them."""
        words, known = self.prepare(args)
        try:
            rest = super().parse_args(ctx, flags.rewrite(words, known))
        except click.NoSuchOption as error:
            from swift_core.options import advice

            self._check_parts(words, known)
            meant = advice.unknown_flag(error.option_name, self.verb, known, registry())
            raise UsageError(
                f"there is no option {error.option_name}",
                code="CLI-003",
                hint=f"{meant} {ctx.command_path} --help lists the options.".strip(),
            ) from None
        if rest:
            from swift_core.options import advice

            first = args[0] if self.positional and args and not args[0].startswith("-") else ""
            hint = advice.extra_argument(rest[0], ctx.command_path, first, verb=self.verb, known=known, registry=registry())
            raise UsageError(f"'{rest[0]}' does not belong to an option", code="CLI-005", hint=hint)
        if not ctx.params.get("json"):
            for text in dict.fromkeys(known.notes):
                note(text)
        return rest

    def prepare(self, args: list[str]) -> tuple[list[str], flags.Flags]:
        """Read the YAML file, if one is named, and create the click options of these arguments."""
        self._settings, words = flags.read_config(args)
        notes: list[str] = []
        words = other_tools.expand(words, self.verb, registry(), notes)
        first = words[0] if self.positional and words and not words[0].startswith("-") else ""
        if first:
            words = [f"--{self.positional}", *words]
        notes += adopt(self._settings, self.verb, registry(), words)
        known = flags.flags_for(self.verb, words, self._settings, registry())
        known.notes.extend(notes)
        if first and self.positional == "model":
            self._check_one_model(first, flags.rewrite(words[2:], known), known)
        self._flags = {f"flag_{number}": flag for number, flag in enumerate(known.flags.values())}
        self.params = [*(_option(name, flag) for name, flag in self._flags.items()), *self.common()]
        return words, known

    def _check_parts(self, words: Sequence[str], known: flags.Flags) -> None:
        """Refuse an unknown implementation of a part, whose options would be unknown too."""
        for part, name in flags.chosen(self.verb, words, self._settings, known.aliases).items():
            if name != self.verb.parts[part]:
                registry().entry(part, name, where=f"--{self.verb.flags.get(part, part)}")

    def _check_one_model(self, first: str, words: Sequence[str], known: flags.Flags) -> None:
        """Refuse two models, as the positional argument and as --model; click would use only the last."""
        named = [word.removeprefix("--model=") for word in words if word.startswith("--model=")]
        named += [after for word, after in pairwise(words) if word == "--model"]
        if named:
            from swift_core.options import advice

            command = f"swift {self.verb.name}"
            problem = f"two models are given: '{first}', and '{named[-1]}' by --model"
            raise UsageError(problem, code="CLI-006", where="model", hint=advice.two_models(first, named[-1], command, known.flags))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, under a heading for each part."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue
            flag = self._flags.get(param.name or "")
            if record := param.get_help_record(ctx):
                sections.setdefault(flag.section if flag else "Command", []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def common(self) -> list[click.Parameter]:
        """Return the options of the command itself."""
        return [
            click.Option(["--config"], metavar="FILE.yaml", help="Options from a YAML file; flags override it.", expose_value=False),
            click.Option(["--json"], is_flag=True, help="Print the result as JSON, and nothing else."),
        ]

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """Return the settings of the YAML file, updated with the values of the flags."""
        for name, flag in self._flags.items():
            value = values[name]
            if value is None or value == ():
                continue
            self._settings.set(flag.path, _value(flag, value))
        return self._settings

    def launched(self, settings: Settings, screen: Screen) -> None:
        """Apply launch variables of the environment to the settings, with a note on each."""
        for text in launch_variables.apply(self.verb, settings, registry()):
            screen.note(text)

    def _call(self, **values: Any) -> int:
        raise NotImplementedError


class VerbCommand(FlagsCommand):
    """The command of a verb: resolve the run, carry it out, and show the result. A verb's own command class overrides `carry_out`."""

    def prepare(self, args: list[str]) -> tuple[list[str], flags.Flags]:
        """Refuse a YAML file that is for another verb."""
        words, known = super().prepare(args)
        where, named = self._settings.where("run"), self._settings.values.get("run")
        if named and (verb := verb_named(str(named), where=where)).name != self.verb.name:
            raise UsageError(
                f"the file is for {verb.name}, not for {self.verb.name}", code="CLI-007", where=where, hint=f"Write swift {verb.name}."
            )
        return words, known

    def common(self) -> list[click.Parameter]:
        """Return the common options, and those that resolve a run without carrying it out."""
        return [
            *super().common(),
            *(OPTIONS if any(flag.path == "envs" for flag in self._flags.values()) else ()),
            click.Option(["--dry-run"], is_flag=True, help="Resolve and check everything and print the run, without starting it."),
        ]

    def _call(self, **values: Any) -> int:
        settings = self.settings(values)
        with Screen(quiet=values["json"]) as screen:
            self.launched(settings, screen)
            resolved = resolve_with_engines(self.verb, settings, screen, values)
            if resolved is None:
                return 2
            for text in resolved.notes:
                screen.note(text)
            if values["dry_run"]:
                screen.close()
                click.echo(json.dumps(resolved.run.to_json(), indent=2, ensure_ascii=False))
                return 0
            result = self.carry_out(resolved.run, screen)
        if values["json"] and result is not None:
            click.echo(json.dumps(result.to_json(), ensure_ascii=False))
        elif result is not None:
            for line in self.verb.show.load()(result) if self.verb.show else summary(result):
                click.echo(line)
        return 0

    def carry_out(self, run: Run, screen: Screen) -> RunResult | None:
        """Carry out the run with a progress bar; return None if no result is to be shown."""
        return screen.carry_out(run)


def command_for(verb: VerbSpec) -> VerbCommand:
    """Return the command of a verb."""
    command: VerbCommand = verb.command.load()(verb) if verb.command else VerbCommand(verb)
    return command


def summary(result: RunResult) -> Sequence[str]:
    """Summarise a finished run in a few lines."""
    from swift_core.system import format_value

    lines = [
        f"{name.replace('_', ' ')}: {format_value(value)}" for name, value in result.figures.items() if not isinstance(value, dict | list)
    ]
    if result.output:
        lines.append(f"output: {result.output}")
    if (result.folder / "report.html").is_file():
        lines.append(f"report: {result.folder / 'report.html'}")
    return lines


def _value(flag: Flag, given: Any) -> Any:
    """Convert click's value of a flag to the type of the option."""
    types = flag.field.types
    if isinstance(given, tuple):
        if len(given) == 1 and (several := _json_list(str(given[0]))) is not None:
            return several
        return given[0] if len(given) == 1 and "string" in types else list(given)
    if flag.field.type == "object" or ("object" in types and str(given).lstrip().startswith("{")):
        return _json(flag, given)
    return given


def _json_list(text: str) -> list[Any] | None:
    """Parse a list of texts written as JSON, `["a", "b"]`; None for any other text, such as a regex that begins with a bracket."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None


def _json(flag: Flag, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"not valid JSON: {error}", code="CLI-008", where=f"--{flag.name}", hint='Write it as --name \'{"key": "value"}\'.'
        ) from None


def _option(name: str, flag: Flag) -> click.Option:
    field = flag.field
    shown = (
        ""
        if field.default in (None, "", [])
        else f"  [default: {str(field.default).lower() if isinstance(field.default, bool) else field.default}]"
    )
    required = "  [required]" if field.required else ""
    text = f"{field.description}{shown}{required}"
    if field.type == "boolean":
        return click.Option([f"--{flag.name}/{flags.off_name(flag.name)}", name], default=None, help=text)
    metavar = f"[{'|'.join(field.choices)}]" if field.choices else _METAVARS.get(field.type, "TEXT")
    return click.Option([f"--{flag.name}", name], metavar=metavar, multiple=field.type == "array", default=None, help=text)
