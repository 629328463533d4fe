"""Collect the wheels that the checks need beside torch, transformers and peft: `python -m tests.gpu.wheels FOLDER`.

They are those of this environment, by its versions and for its Python and platform.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

THERE = ("torch", "transformers", "peft")
NEEDED = Path(__file__).with_name("requirements.txt")


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Return the versions of installed distributions that requirements need, by canonical name."""
    found: dict[str, str] = {}
    waiting = [(Requirement(text), extra) for text in requirements for extra in ("", *Requirement(text).extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name in found and not extra:
            continue
        found[name] = installed.version
        for text in installed.requires or ():
            inner = Requirement(text)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                waiting += [(inner, chosen) for chosen in ("", *inner.extras)]
    return found


def main() -> None:
    """Download the wheels into the folder that was named, and print their size."""
    folder = Path(sys.argv[1])
    there, needed = closure(THERE), [line for line in NEEDED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pins = [f"{name}=={version}" for name, version in sorted(closure(needed).items()) if name not in there]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), *pins], check=True
    )
    files = sorted(folder.glob("*.whl"))
    print(f"{len(files)} wheels, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB, in {folder}")


if __name__ == "__main__":
    main()
