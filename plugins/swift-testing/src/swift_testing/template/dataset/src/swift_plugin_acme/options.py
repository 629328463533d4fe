"""Options of the data set: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class AcmeOptions(Options):
    """Which riddles."""

    about: Literal["all", "things", "numbers"] = option("all", "What the riddles are about.")
