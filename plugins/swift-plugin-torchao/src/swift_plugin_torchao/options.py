"""Options of the torchao quantizer."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Names, Options, option


class TorchaoOptions(Options):
    """Weights alone; activations stay as they are."""

    kind: Literal["int8", "fp8"] = option("int8", "8-bit numbers: whole ones, with a scale a row, or floating ones (E4M3).")
    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.")
