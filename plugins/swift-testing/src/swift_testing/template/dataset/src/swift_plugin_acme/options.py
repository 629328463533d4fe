"""Options of the dataset; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the dataset `acme`."""

    about: Literal["all", "things", "numbers"] = option("all", "Topic of the riddles.")
