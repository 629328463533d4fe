"""Build an image with docker, podman or buildah, where one is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from swift_core.contract import SwiftError

BUILDERS = ("docker", "podman", "buildah")


def builder() -> str:
    """Return the builder that works here; '' if none does. Docker's client alone, without its daemon, builds nothing."""
    for name in BUILDERS:
        if program := shutil.which(name):
            done = subprocess.run([program, "info"], capture_output=True, timeout=60, check=False)
            if done.returncode == 0:
                return program
    return ""


def build(program: str, folder: Path, tag: str) -> None:
    """Build the image of a context, with the builder's own output.

    Raises:
        SwiftError: the builder failed.
    """
    done = subprocess.run([program, "build", "--tag", tag, str(folder)], check=False)
    if done.returncode:
        hint = "Its output is above; the folder is complete, and can be built elsewhere."
        raise SwiftError(f"{Path(program).name} ended with code {done.returncode}", code="IMAGE-001", where=str(folder), hint=hint)
