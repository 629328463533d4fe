"""Run the checks in order, and write each result as it comes: `python -m tests.gpu [--device cuda] [--only NAME …] [--output FOLDER]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.gpu import correct, memory, speed
from tests.gpu.setting import Setting

CHECKS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "machine": correct.machine,
    "float32": correct.float32,
    "attention": correct.attention,
    "kernel": correct.kernel,
    "narrow": correct.narrow,
    "train": speed.train,
    "memory": memory.planned,
    "resumed": correct.resumed,
    "quantized": correct.quantized,
    "long": speed.train_long,
    "serve": speed.serve,
}


def main(argv: list[str] | None = None) -> int:
    """Run the checks; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--device", default="", help="torch device; default: the accelerator of this machine")
    parser.add_argument("--small", action="store_true", help="tiny models also for the measurements")
    parser.add_argument("--only", nargs="*", choices=CHECKS, default=[*CHECKS], help="checks to run")
    parser.add_argument("--minutes", type=float, default=25, help="no check is begun after so many")
    parser.add_argument("--output", type=Path, help="folder of results.jsonl; default: a new folder below the temporary one")
    args = parser.parse_args(argv)
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if not args.device and accelerator is None:
        parser.exit(2, "no accelerator was found; --device cpu --small runs the checks on a CPU\n")
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 is compared with a CPU's
    folder: Path = args.output or Path(tempfile.mkdtemp(prefix="swift-gpu-"))
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(args.device or str(accelerator), args.small, folder)
    ends, passed, skipped = time.monotonic() + 60 * args.minutes, [], []
    for name in args.only:
        if time.monotonic() > ends:
            skipped.append(name)
        else:
            passed.append(_run(name, setting))
    late = f", {len(skipped)} not begun after {args.minutes:g} minutes ({', '.join(skipped)})" if skipped else ""
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed{late}; results: {folder / 'results.jsonl'}")
    return not all(passed)


def _run(name: str, setting: Setting) -> bool:
    began, error, found = time.perf_counter(), "", {}
    try:
        found = CHECKS[name](setting)
    except Exception as failure:  # whatever fails, the next check runs
        error = str(failure).strip() or type(failure).__name__
        traceback.print_exc()
    result = {
        "check": name,
        "device": setting.device,
        "seconds": round(time.perf_counter() - began, 1),
        **({"error": error} if error else found),
    }
    with (setting.folder / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    print(json.dumps(result), flush=True)
    return not error


if __name__ == "__main__":
    sys.exit(main())
