"""The backend: it returns a command line, which the core starts, watches and stops; it is ready when `/health` answers."""

from __future__ import annotations

from swift_serve.backend_mixins import NoAdapters
from swift_serve.roles import Command, Serving

from swift_plugin_acme.options import AcmeOptions

KEY_VARIABLE = "ACME_API_KEY"  # not an argument, since every user of the machine can read arguments


class Acme(NoAdapters):
    """Serves with `python -m swift_plugin_acme.server`."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def command(self, serving: Serving) -> Command:
        """Return the command that serves the checkpoint.

        Raises:
            UsageError: adapters are requested, which this backend does not support.
        """
        self.refuse_adapters(serving)
        argv = (serving.python, "-m", "swift_plugin_acme.server", str(serving.checkpoint), "--name", serving.name)
        place = ("--host", serving.host, "--port", str(serving.port), "--context", str(self.options.context))
        return Command(argv=(*argv, *place), env={KEY_VARIABLE: serving.api_key or "", "HF_HUB_OFFLINE": "1"})
