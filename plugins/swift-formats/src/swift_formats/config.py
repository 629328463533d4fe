"""Facts about the weights from `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def quantization_of(config: Mapping[str, Any]) -> str:
    """Return the quantization method in the contents of a `config.json`: '' if there is none, '?' if it is not named."""
    found = config.get("quantization_config")
    return str(found.get("quant_method") or "?") if found else ""
