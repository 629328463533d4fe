"""Quantize a checkpoint, or compare several quantizers."""

from __future__ import annotations

import json
from typing import Any

import click

from swift_core.cli import Screen, VerbCommand, resolve_with_engines
from swift_core.contract import UsageError


class QuantizeCommand(VerbCommand):
    """`swift quantize`, also with `--compare` for several quantizers."""

    def common(self) -> list[click.Parameter]:
        """Add the flags of a comparison."""
        several = "Quantize with each of these quantizers and compare: gptq,awq,bnb:bits=8. Commas between names, options after colons."
        return [
            *super().common(),
            click.Option(["--compare"], metavar="NAMES", help=several),
            click.Option(["--keep"], is_flag=True, help="Keep the checkpoints of a comparison, in compare/NAME/output of the run folder."),
        ]

    def _call(self, **values: Any) -> int:
        asked, keep = values.pop("compare"), values.pop("keep")
        return super()._call(**values) if asked is None else self._compare(asked, keep, values)

    def _compare(self, asked: str, keep: bool, values: dict[str, Any]) -> int:
        from swift_convert import compare, report
        from swift_core.cli import print_table

        if values["dry_run"]:
            raise UsageError(
                "can't be combined with --compare",
                code="CONVERT-005",
                where="--dry-run",
                hint="Use it with one quantizer: --quantizer NAME --dry-run.",
            )
        settings = self.settings(values)
        with Screen(quiet=values["json"]) as screen:
            self.launched(settings, screen)
            done = compare.compare(
                asked, settings, lambda own: resolve_with_engines(self.verb, own, screen, values), keep=keep, watch=screen.watch
            )
        if values["json"]:
            click.echo(json.dumps(done.to_json(), ensure_ascii=False))
        else:
            print_table(report.HEADER, report.table(done.figures["methods"]))
            click.echo(f"report: {done.folder / 'report.html'}")
        return 0 if any("kl" in item for item in done.figures["methods"]) else 1
