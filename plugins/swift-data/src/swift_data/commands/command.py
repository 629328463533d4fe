"""Base class of the `swift data` commands: flags like a verb, but executed in this process, with an exit code of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from swift_core.cli import FlagsCommand, Screen
from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import listed
from swift_core.system import offline_if

Work = Callable[[VerbSpec, Settings, Screen], int]


class DataCommand(FlagsCommand):
    """A command whose `work` resolves the settings, prints the result (as JSON if the screen is quiet), and returns the exit code."""

    def __init__(self, verb: VerbSpec, work: Work, help_text: str = "") -> None:
        super().__init__(verb, help_text=help_text)
        self.work = work

    def common(self) -> list[click.Parameter]:
        """Add an argument for further datasets after the flags."""
        return [*super().common(), click.Argument(["more"], nargs=-1, metavar="")]

    def _call(self, **values: Any) -> int:
        settings = self.settings(values)
        if values["more"]:
            settings.set("dataset", [*listed(settings.values.get("dataset")), *values["more"]])
        if not settings.values.get("dataset"):
            raise UsageError(
                "no dataset is given", code="DATA-012", hint=f"Run swift {self.verb.name} FILE, or give the name of a dataset."
            )
        with offline_if(bool(settings.values.get("offline"))), Screen(quiet=values["json"]) as screen:
            self.launched(settings, screen)
            return self.work(self.verb, settings, screen)
