"""Inspect an environment from the inside: `PYTHON -I probe.py '{"import": […]}'`, run as a script by any Python.

It uses only the standard library and prints one JSON object. Its stdout is duplicated first, so that output of an engine during import
can't corrupt the result.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any


def facts() -> dict[str, Any]:
    """Return the interpreter, the values of the environment markers, and every distribution with its requirements."""
    found = {}
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name and name not in found:  # the first one on the path is the one that is imported
            origin = json.loads(each.read_text("direct_url.json") or "{}")
            direct = origin.get("url", "") if "archive_info" in origin or "vcs_info" in origin else ""
            found[name] = {"version": each.version, "requires": each.requires or [], "url": direct, "top": top_level(each)}
    version = platform.python_version()
    markers = {
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": version,
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }
    return {
        "python": version,
        "base": os.path.realpath(sys.executable),
        "site_packages": sysconfig.get_path("purelib"),
        "markers": markers,
        "distributions": found,
    }


def top_level(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return the importable top-level names of a distribution."""
    named = (distribution.read_text("top_level.txt") or "").split()
    if not named:
        first = {file.parts[0] for file in distribution.files or [] if file.suffix == ".py" and ".." not in file.parts}
        named = [name[:-3] if name.endswith(".py") else name for name in first]
    return sorted(name for name in named if name.isidentifier() and not name.startswith("_"))


def imported(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Import each module; return its version ('' if it has none), or the error in one line."""
    results = {}
    for name in names:
        try:
            results[name] = {"version": str(getattr(importlib.import_module(name), "__version__", ""))}
        except BaseException as error:  # any failure is the result
            results[name] = {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0]}
    return results


def device() -> dict[str, str]:
    """Return torch's version and the device that it finds; empty if torch is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    if not hasattr(torch, "accelerator"):  # torch before 2.6, in the environment of an old engine
        return {"torch": torch.__version__, "device": "cuda" if torch.cuda.is_available() else "cpu"}
    found = torch.accelerator.current_accelerator()
    kind = found.type if found and torch.accelerator.is_available() else "cpu"
    return {"torch": torch.__version__, "device": "rocm" if kind == "cuda" and torch.version.hip else kind}


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.argv[1])
    answer = facts() if "import" not in request else {"imported": imported(request["import"]), "device": device()}
    channel.write(json.dumps(answer))
    channel.flush()
    os._exit(0)  # don't wait for an engine's threads and exit hooks
