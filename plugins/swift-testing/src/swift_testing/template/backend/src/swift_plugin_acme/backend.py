"""An engine is a command line: the core starts it, waits until `/health` answers, watches it, and stops it."""

from __future__ import annotations

from pathlib import Path

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server, Serving
from swift_core.contract.specs import Command
from swift_plugin_acme.options import AcmeOptions

KEY_VARIABLE = "ACME_API_KEY"  # never an argument, which every user of the machine can read
MERGE = "Merge it (swift merge), and serve the merged checkpoint."


class Acme:
    """Starts `python -m swift_plugin_acme.server`."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def command(self, serving: Serving) -> Command:
        """The process that serves.

        Raises:
            UsageError: adapters are asked for, which the spec says there are none of.
        """
        if serving.adapters:
            raise UsageError("this engine serves no adapters", hint=MERGE)
        argv = (serving.python, "-m", "swift_plugin_acme.server", str(serving.checkpoint), "--name", serving.name)
        place = ("--host", serving.host, "--port", str(serving.port), "--context", str(self.options.context))
        return Command(argv=(*argv, *place), env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"})

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Refused, as in `command`."""
        raise UsageError("this engine serves no adapters", hint=MERGE)

    def drop_adapter(self, server: Server, name: str) -> None:
        """Refused: none was ever added."""
        raise UsageError("this engine serves no adapters", hint="There is none to drop.")
