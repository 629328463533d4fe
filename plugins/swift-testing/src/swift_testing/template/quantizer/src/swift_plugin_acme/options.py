"""Options of the quantizer: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options.model import Names, Options, option


class AcmeOptions(Options):
    """What is left whole."""

    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.")
