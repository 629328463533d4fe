"""Options of the launcher; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the launcher `acme`."""

    priority: int = option(10, "Niceness of the workers, from 0 (normal priority) to 19 (lowest).", ge=0, le=19)
