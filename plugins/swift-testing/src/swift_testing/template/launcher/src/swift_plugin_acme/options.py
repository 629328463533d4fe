"""Options of the launcher: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options.model import Options, option


class AcmeOptions(Options):
    """How far it steps back."""

    priority: int = option(10, "How nice the worker is to other processes: 19 is the nicest.", ge=0, le=19)
