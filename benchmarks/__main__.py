"""Run benchmarks, write what they gave with machine, versions and revision, and name what became slower: `python -m benchmarks`.

    python -m benchmarks [NAME …] [--quick] [--output FOLDER] [--record]

Each benchmark is its own script and process; what it prints is shown, and kept in FOLDER/NAME.txt. FOLDER/NAME.json has its ratios. A ratio
that is more than a tenth worse than the one in benchmarks/recorded.json is named, and the exit code is 1; `--record` puts those of this run
there. `--quick` takes few rounds: enough to see that everything runs, too few for a figure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
WORSE = 0.1  # share by which a ratio may fall
VERSIONS = ("swift-core", "torch", "transformers", "peft", "trl", "datasets", "click", "pluggy", "pydantic")
RUNS: dict[str, tuple[list[str], list[str]]] = {  # benchmark → its arguments, and those of --quick
    "cli_start": ([], ["--runs", "2"]),
    "plugins": ([], ["--counts", "10", "--runs", "2"]),
    "sft_step": ([], ["--steps", "3", "--rounds", "1", "--threads", "1"]),
    "rl": ([], ["--layers", "4", "--steps", "2", "--rounds", "1"]),
    "vlm": ([], ["--steps", "3", "--rounds", "1"]),
    "data": ([], ["--rows", "500", "--rounds", "1", "--threads", "1", "--memory-rows", "2000"]),
    "speculation": ([], ["--rounds", "1"]),
    "serve": ([], ["--sides", "embedded", "generate", "--concurrency", "1", "--rounds", "1", "--requests", "2"]),
}


def main(argv: list[str] | None = None) -> int:
    """Run them; return 1 if one failed or a ratio became worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--output", type=Path, default=Path("runs", time.strftime("bench-%Y%m%d-%H%M%S")), help="folder of the results")
    parser.add_argument("--record", action="store_true", help=f"write the ratios into {RECORDED.name}")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in RUNS]:
        parser.error(f"there is no benchmark '{unknown[0]}': {', '.join(RUNS)}")
    if args.quick and args.record:
        parser.error("--quick takes too few rounds for a ratio to be recorded")
    args.output.mkdir(parents=True, exist_ok=True)
    recorded: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    bad: list[str] = []
    for name in args.names or RUNS:
        result = run(name, RUNS[name][args.quick], args.output)
        (args.output / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        bad += [f"{name} ended with code {result['code']}"] if result["code"] else []
        bad += [] if args.quick else worse(name, result["ratios"], recorded.get(name, {}))
        if args.record and not result["code"]:
            recorded[name] = {of: {**found, "revision": result["revision"]} for of, found in result["ratios"].items()}
    if args.record:
        RECORDED.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    print(f"\nresults: {args.output}", *(f"WORSE: {line}" for line in bad), sep="\n")
    return bool(bad)


def run(name: str, arguments: list[str], output: Path) -> dict[str, Any]:
    """Run a benchmark; return its ratios, and what they depend on."""
    print(f"\n== {name}", flush=True)
    lines, began = (output / f"{name}.figures").resolve(), time.time()
    lines.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    with (output / f"{name}.txt").open("w", encoding="utf-8") as text:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SWIFT_BENCH_FIGURES": str(lines)})
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            text.write(line)
        code = process.wait()
    found = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()] if lines.exists() else []
    return {
        "benchmark": name,
        "arguments": arguments,
        "code": code,
        "seconds": round(time.time() - began, 1),
        "revision": revision(),
        "machine": machine(),
        "versions": {package: version for package in VERSIONS if (version := _version(package))},
        "ratios": {each.pop("name"): each for each in found},
    }


def worse(name: str, ratios: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Return a line for each ratio that is worse than the recorded one by more than a tenth, or is not measured any more."""
    found = []
    for of, before in recorded.items():
        now = ratios.get(of)
        if now is None:
            found.append(f"{name}: {of}: not measured, recorded {before['value']}")
            continue
        share = now["value"] / before["value"] if before["better"] == "higher" else before["value"] / now["value"]
        if share < 1 - WORSE:
            at = before.get("revision", "")
            found.append(
                f"{name}: {of}: {now['value']}, recorded {before['value']}{f' at {at}' if at else ''} ({before['better']} is better)"
            )
    return found


def revision() -> str:
    """Return git's revision of the checkout; with '+' if files differ from it, '' if it is none."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, memory, load and system."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
