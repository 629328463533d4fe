"""An engine is a command line: the core starts it, waits until `/health` answers, watches it, and stops it."""

from __future__ import annotations

from pathlib import Path

from swift_core.errors import UsageError
from swift_core.roles import Server, Serving
from swift_core.specs import Command
from swift_plugin_acme.options import AcmeOptions

KEY_VARIABLE = "ACME_API_KEY"  # never an argument, which every user of the machine can read


class Acme:
    """Starts `python -m swift_plugin_acme.server`."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def command(self, serving: Serving) -> Command:
        """The process that serves."""
        argv = (serving.python, "-m", "swift_plugin_acme.server", str(serving.checkpoint), "--name", serving.name)
        place = ("--host", serving.host, "--port", str(serving.port), "--context", str(self.options.context))
        return Command(argv=(*argv, *place), env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"})

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Refused, as the spec says."""
        raise UsageError("this engine serves no adapters", hint="Merge it (swift merge), and serve the merged checkpoint.")

    def drop_adapter(self, server: Server, name: str) -> None:
        """Refused, as the spec says."""
        raise UsageError("this engine serves no adapters", hint="There is none to drop.")
