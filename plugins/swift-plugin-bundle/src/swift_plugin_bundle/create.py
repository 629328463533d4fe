"""Create a bundle: gather, resolve, show the size, download, write."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swift_core.contract import Progress, UsageError
from swift_core.system import size_of
from swift_plugin_bundle import wheels
from swift_plugin_bundle.archive import MOST, Writer
from swift_plugin_bundle.contents import HOME, HUGGING_FACE, Contents, contents_of
from swift_plugin_bundle.wheels import Package, Target

LOCK = "requirements.lock"


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of a bundle that is to be created."""

    recipe: Path
    contents: Contents
    own: list[str]
    packages: list[Package]
    target: Target

    @property
    def size(self) -> int:
        """Bytes of the files and of the wheels whose size is known."""
        return sum(size_of(path) for path in self.contents.files.values()) + sum(package.size for package in self.packages)


def plan(recipe: Path, target: Target, progress: Progress | None = None) -> Plan:
    """Fetch what the recipe needs, and let pip resolve the wheels.

    Raises:
        UsageError, SwiftError: as `contents_of` and `wheels.resolved`.
    """
    steps, contents = contents_of(recipe, progress)
    own, engines = wheels.roots(steps, contents)
    with tempfile.TemporaryDirectory(prefix="swift-bundle-") as scratch:
        packages = wheels.resolved(own, engines, target, Path(scratch))
    return Plan(recipe, contents, own, packages, target)


def create(what: Plan, output: Path, *, split: int = MOST, note: Callable[[str], None] = lambda _: None) -> str:
    """Write the bundle and return the SHA-256 of its index.

    Raises:
        UsageError: `output` exists.
        SwiftError: a download failed, or the disk is full; no part of the bundle is left.
    """
    if output.exists():
        raise UsageError(f"'{output}' exists", code="BUNDLE-005", where="output", hint="Choose another name, or remove it.")
    with tempfile.TemporaryDirectory(prefix="swift-bundle-", dir=output.absolute().parent) as scratch:
        folder = Path(scratch, "wheels")
        folder.mkdir()
        wheels.download(what.packages, what.target, folder, Path(scratch))
        own = wheels.write_own(what.own, folder)
        locked = [(each["name"], each["version"], each["sha256"]) for each in own]
        locked += [(each.name, each.version, each.sha256) for each in what.packages if each.name != "pip"]
        lock = Path(scratch, LOCK)
        lock.write_text("".join(f"{name}=={number} --hash=sha256:{digest}\n" for name, number, digest in sorted(locked)), encoding="utf-8")
        note("writing")
        writer = Writer(output.with_name(f".{output.name}"), split)
        try:
            for name, path in {
                LOCK: lock,
                **{f"wheels/{each.name}": each for each in sorted(folder.iterdir())},
                **what.contents.files,
            }.items():
                writer.add(name, path)
            digest = writer.close(_index(what, own))
            for part in reversed(writer.paths):
                part.rename(part.with_name(part.name.removeprefix(".")))
        except BaseException:
            writer.abandon()
            for part in writer.paths:
                part.unlink(missing_ok=True)
            raise
    return digest


def _index(what: Plan, own: list[dict[str, str]]) -> dict[str, Any]:
    packages = [{"name": f"{each['name']} {each['version']}", "licence": "Apache-2.0"} for each in own]
    packages += [{"name": f"{each.name} {each.version}", "licence": each.licence} for each in what.packages]
    return {
        "name": what.recipe.stem,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": what.target.python or ".".join(map(str, sys.version_info[:2])),
        "machine": _machine(what.target),
        "recipe": "recipe.yaml",
        "environment": {"SWIFT_HOME": HOME, "HF_HOME": HUGGING_FACE},
        "settings": {"SWIFT_OFFLINE": "1", "HF_HUB_OFFLINE": "1"},
        "checkpoints": what.contents.checkpoints,
        "data": what.contents.data,
        "packages": packages,
    }


def _machine(target: Target) -> str:
    """Return system and processor, as the installer names them: linux_x86_64 for manylinux_2_28_x86_64."""
    if not target.platform:
        return f"{platform.system().lower()}_{platform.machine().lower()}"
    known = ("x86_64", "aarch64", "arm64", "ppc64le", "s390x", "amd64")
    processor = next((name for name in known if target.platform.endswith(name)), target.platform)
    system = {"man": "linux", "mus": "linux", "lin": "linux", "mac": "darwin", "win": "windows"}[target.platform[:3]]
    return f"{system}_{processor}"
