"""Compute the memory, disk and time that a run needs, without doing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli import FlagsCommand, Screen, note, print_table
from swift_core.contract import Ref, Settings, SwiftError, UsageError, VerbSpec
from swift_core.plugins import find_verb

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.devices import Device
    from swift_plan.plan import Plan

_DEFAULT = "sft"
_TORCH_DEVICES = ("auto", "cpu", "cuda", "mps", "npu", "xpu")
_NO_VERB = VerbSpec(name="plan", summary="Plan the memory, disk and time of a run", options=Ref("swift_core.options:RunOptions"))
_HELP = """Compute the memory, disk space and time that a run needs, without running it: no weight is downloaded or loaded.

\b
    swift plan sft.yaml
    swift plan sft --model hf:Qwen/Qwen3-8B --dataset rows.jsonl --device rtx3090
    swift plan hf:Qwen/Qwen3-8B     # which tuners fit on which cards
    swift plan calibrate runs/20261130-101500-sft-a1b2     # learn the overhead of a device from finished runs

VERB is any verb that uses a model; its flags are those of `swift VERB --help`. A training step is traced on fake tensors: the peak is what
torch will allocate. Other verbs are planned by formulas.
"""


class PlanCommand(FlagsCommand):
    """`swift plan`, with the flags of the verb that it plans."""

    def __init__(self) -> None:
        super().__init__(_NO_VERB, help_text=_HELP)
        self.options_metavar = "[VERB] [MODEL | FILE.yaml] [OPTIONS]"
        self._card = ""
        self._file: Path | None = None
        self._all = self._calibrates = self._stands_in = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the verb, the card and the file; what is left are the verb's own words."""
        self.verb, self.positional = _NO_VERB, _NO_VERB.positional
        words = self._without_card(args)
        self._calibrates, self._all = words[:1] == ["calibrate"], False
        if self._calibrates:
            ctx.obj = [word for word in words[1:] if not word.startswith("-")]
            return super().parse_args(ctx, [word for word in words[1:] if word.startswith("-")])
        verb = find_verb(words[0].replace("_", "-")) if words and not words[0].startswith("-") else None
        if verb:
            words = words[1:]
        elif words and words[0].endswith((".yaml", ".yml")):
            from swift_core.options import read_yaml

            verb = find_verb(str(read_yaml(Path(words[0])).values.get("run") or _DEFAULT))
        elif words and not words[0].startswith("-"):
            self._all, verb = True, find_verb(_DEFAULT)
        self._file = Path(words[0]) if words and words[0].endswith((".yaml", ".yml")) else None
        if verb:
            self.verb, self.positional = verb, verb.positional
        return super().parse_args(ctx, words)

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """Return the settings; a training without a dataset gets a placeholder row."""
        settings = super().settings(values)
        self._stands_in = "task" in self.verb.parts and not settings.values.get("dataset")
        if self._stands_in:
            from swift_plan.resolving import one_row

            settings.values["dataset"] = [str(one_row(self.verb))]
        return settings

    def common(self) -> list[click.Parameter]:
        """Return the options of the command itself."""
        return [
            *super().common(),
            *self._device_option(),
            click.Option(["--cards"], is_flag=True, help="List the known cards and exit."),
            click.Option(["--trace/--no-trace"], default=True, help="Trace the training step (seconds), or use formulas (milliseconds)."),
            click.Option(
                ["--apply"], is_flag=True, help="If the run does not fit, write the cheapest change that makes it fit to FILE.yaml."
            ),
            click.Option(["--served-tokens"], type=int, default=4096, help="For a server: tokens per request.  [default: 4096]"),
            click.Option(["--served-requests"], type=int, default=1, help="For a server: concurrent requests.  [default: 1]"),
        ]

    def _device_option(self) -> list[click.Parameter]:
        """Return `--device CARD`, unless the verb has an option of that name, which then takes cards too."""
        if any(flag.name == "device" for flag in self._flags.values()):
            return []
        return [
            click.Option(["--device"], metavar="CARD", expose_value=False, help="Plan for this card (see --cards) instead of this machine.")
        ]

    def _without_card(self, args: Sequence[str]) -> list[str]:
        """Take `--device CARD` out; `--device cuda:1` is the verb's own."""
        from swift_plan.devices import device_named

        words, self._card = list(args), ""
        for at, word in enumerate(words):
            name, _, value = word.partition("=")
            given = value or (words[at + 1] if at + 1 < len(words) else "")
            if name == "--device" and given and given.partition(":")[0] not in _TORCH_DEVICES:
                self._card = device_named(given).name
                return words[:at] + words[at + 1 + (not value) :]
        return words

    def _call(self, **values: Any) -> int:
        if values["cards"]:
            return _list_cards()
        if self._calibrates:
            from swift_plan.calibrating import calibrate

            return calibrate(click.get_current_context().obj, as_json=values["json"])
        if self.verb is _NO_VERB:
            raise UsageError("nothing to plan", code="PLAN-006", hint="swift plan FILE.yaml, swift plan VERB …, or swift plan MODEL.")
        settings = self.settings(values)
        with Screen(quiet=values["json"]) as screen:
            from swift_plan.resolving import resolved

            run, absent = resolved(self.verb, settings, screen, stands_in=self._stands_in)
            if self._all:
                from swift_plan.overview import overview

                return overview(run, as_json=values["json"], traced=values["trace"])
            return self._plan(run, absent, values)

    def _plan(self, run: Run, absent: int, values: Mapping[str, Any]) -> int:
        from swift_plan.client import Tracer
        from swift_plan.planning import plan_of

        device, rows = self._device(run), None
        if values["trace"] and run.datasets:
            try:
                rows = Tracer.shared().rows(run)
            except SwiftError as error:
                note(f"the rows could not be measured: {error.message}")

        def planned(run: Run, *, traced: bool) -> Plan:
            return plan_of(
                run, device, traced=traced, rows=rows, absent=absent, tokens=values["served_tokens"], requests=values["served_requests"]
            )

        plan = planned(run, traced=values["trace"])
        _show(plan, as_json=values["json"])
        if plan.fits or "task" not in run.parts:
            return 0 if plan.fits else 1
        from swift_plan.changes import apply, changes

        found = changes(run, plan, lambda run: planned(run, traced=False), lambda run: planned(run, traced=values["trace"]))
        if not values["json"]:
            _show_changes(found)
        if values["apply"]:
            if self._file is None:
                raise UsageError("--apply writes to a YAML file", code="PLAN-007", hint="swift plan FILE.yaml --apply")
            if found:
                apply(self._file, found[0].options)
                click.echo(f"{self._file} has been changed: {found[0].flags}")
                return 0
        return 1

    def _device(self, run: Run) -> Device:
        from swift_plan.devices import device_named, this_device
        from swift_plan.speed import measured

        if self._card:
            return device_named(self._card)
        device = this_device(run)
        if device.kind == "cpu" and not measured():
            from swift_plan.client import Tracer

            Tracer.shared().measure()
            device = this_device(run)
        return device


def _show(plan: Plan, *, as_json: bool) -> None:
    from swift_plan import text

    if as_json:
        click.echo(json.dumps(plan.to_json(), ensure_ascii=False))
        return
    header, rows = text.table_of(plan)
    print_table(header, rows)
    click.echo()
    for line in text.lines(plan):
        click.echo(line)
    for each in plan.notes:
        note(each)


def _show_changes(found: Sequence[Any]) -> None:
    from swift_plan.text import size

    if not found:
        click.echo("No smaller micro-batch, checkpointing, adapter or quantized base makes it fit. Use a smaller model.")
        return
    click.echo("It fits with:")
    for change in found:
        click.echo(f"  {change.flags}   ({size(change.plan.peak)}; {change.cost})")


def _list_cards() -> int:
    from swift_plan.devices import cards
    from swift_plan.text import size

    rows = [
        [card.name, card.title, size(card.memory), f"{card.bandwidth / 1e9:.0f} GB/s", f"{card.rate(card.narrow) / 1e12:.0f}", card.source]
        for card in cards()
    ]
    print_table(["name", "card", "memory", "bandwidth reached", "TFLOP/s reached", "source"], rows)
    return 0


command = PlanCommand()
