"""Ratios that a benchmark gives to the harness (`python -m benchmarks`), beside what it prints."""

from __future__ import annotations

import json
import os
from typing import Literal

FILE = "SWIFT_BENCH_FIGURES"  # variable with the file that takes them, one JSON object a line


def ratio(name: str, value: float, better: Literal["higher", "lower"] = "higher") -> None:
    """Give a ratio of two sides of the same run, which depends less on the machine than a time does; alone, a benchmark only prints."""
    if file := os.environ.get(FILE):
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({"name": name, "value": round(value, 4), "better": better}) + "\n")
