"""The wheels of a bundle: our own as they run here, and those of others, resolved by pip for the platform that is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.version import Version
from swift_environments import own_code
from swift_environments.own_wheels import write_wheel
from swift_recipes.recipe import Step

from swift_core.contract import FormatSpec, HubSpec, LoaderSpec, ModelFamily, Run, Spec, SwiftError
from swift_core.plugins import engine_state, registry
from swift_core.system import sha256
from swift_plugin_bundle.contents import Contents


@dataclass(frozen=True, slots=True)
class Target:
    """The platform tag of wheels and the Python version that a bundle is for; '' for this machine's."""

    platform: str = ""
    python: str = ""

    @property
    def flags(self) -> list[str]:
        """pip's flags to choose wheels for it."""
        if not self.platform and not self.python:
            return []
        python = self.python or ".".join(map(str, sys.version_info[:2]))
        return [*(["--platform", self.platform] if self.platform else []), "--python-version", python, "--implementation", "cp"]


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel from an index: name, version, where it is, SHA-256, bytes (0: unknown), licence as its metadata state it."""

    name: str
    version: str
    url: str
    sha256: str
    size: int
    licence: str


def roots(steps: Sequence[Step], contents: Contents) -> tuple[list[str], list[str]]:
    """Return the distributions of ours that a recipe needs, and the requirements of the engines of its parts."""
    known = registry()
    names, engines = {"swift-core", "swift-recipes", *contents.readers}, set[str]()
    for kind in (HubSpec, FormatSpec, ModelFamily, LoaderSpec):
        names |= {entry.plugin.distribution for entry in known.entries(kind) if entry.first_party}
    for part, name in _parts(steps, contents.runs):
        entry = known.entry(part, name)
        names.add(entry.plugin.distribution)
        engines |= _engine_requirements(entry.spec, entry.plugin.distribution)
    for step in steps:
        names.add(_owner_of_verb(step))
    ours = {each.name for name in names for each in own_code.distributions(name)}
    return sorted(ours | {"swift-environments"}), sorted(engines)


def write_own(names: Iterable[str], folder: Path) -> list[dict[str, str]]:
    """Write the wheels of our distributions from the files that are running; return {name, version, sha256} of each."""
    found = []
    for name in names:
        wheel = write_wheel(distribution(name), folder)
        found.append({"name": name, "version": version(name), "sha256": sha256(wheel)})
    return found


def resolved(names: Sequence[str], engines: Sequence[str], target: Target, scratch: Path) -> list[Package]:
    """Let pip resolve what our distributions and the engines require, and return the wheels; nothing is installed.

    Raises:
        SwiftError: pip finds no set of wheels for the platform.
    """
    third = own_code.third_party([distribution(name) for name in names])
    requirements, constraints = scratch / "requirements.txt", scratch / "constraints.txt"
    requirements.write_text("".join(f"{text}\n" for text in [*third, *engines, "pip"]), encoding="utf-8")
    constraints.write_text(
        "".join(f"{each.name}=={Version(each.version).public}\n" for each in distributions() if each.name), encoding="utf-8"
    )
    place = ["--target", str(scratch / "none")] if target.flags else []
    report = scratch / "report.json"
    words = ["install", "--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", str(report), *place, *target.flags]
    _pip([*words, "-r", str(requirements), "-c", str(constraints)])
    items = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [_package(item) for item in items]


def download(packages: Sequence[Package], target: Target, folder: Path, scratch: Path) -> None:
    """Download wheels into a folder; each must have the hash that it had when it was resolved.

    Raises:
        SwiftError: a download failed.
    """
    lock = scratch / "download.txt"
    lock.write_text("".join(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in packages), encoding="utf-8")
    _pip(["download", "--no-deps", "--only-binary", ":all:", "--require-hashes", *target.flags, "-d", str(folder), "-r", str(lock)])


def _pip(words: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words, "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-3:]
        hint = "Name another --platform or --python, or install what is missing here first."
        raise SwiftError(f"pip found no wheels: {' '.join(reason) or done.stderr[-300:]}", code="BUNDLE-020", where="wheels", hint=hint)


def _package(item: dict[str, Any]) -> Package:
    metadata, info = item["metadata"], item["download_info"]
    licence = metadata.get("license_expression") or (metadata.get("license") or "").partition("\n")[0][:80]
    classified = [each.rpartition(" :: ")[2] for each in metadata.get("classifier", ()) if each.startswith("License ::")]
    url = info["url"]
    return Package(
        metadata["name"], metadata["version"], url, info["archive_info"]["hashes"]["sha256"], _size(url), licence or ", ".join(classified)
    )


def _size(url: str) -> int:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).stat().st_size
    from swift_hub import downloads

    try:
        with downloads.client() as http:
            return int(http.head(url).headers.get("content-length", 0))
    except Exception:  # a server that answers no HEAD: the size is unknown, and the download will tell
        return 0


def _parts(steps: Sequence[Step], runs: Sequence[Run]) -> Iterable[tuple[str, str]]:
    for run in runs:
        for part, choice in run.parts.items():
            yield part, choice.name
    for step in steps:
        for part, default in step.verb.parts.items():
            given = step.settings.values.get(part) or default
            name = given.get("name", default) if isinstance(given, dict) else given
            if name:
                yield part, str(name)


def _engine_requirements(spec: Spec, plugin: str) -> set[str]:
    """Return the requirements of an engine that is in this environment; one with an environment of its own is none of it."""
    found = engine_state(spec, plugin)
    if not spec.engines or not found.present:
        return set()
    texts = (text for engine in spec.engines for text in engine.requirements)
    return {text for text in texts if _installed(text)}


def _installed(text: str) -> bool:
    try:
        return bool(version(Requirement(text).name))
    except PackageNotFoundError:
        return False


def _owner_of_verb(step: Step) -> str:
    from swift_core.contract import VerbSpec

    entries = [entry for entry in registry().entries(VerbSpec) if entry.spec.name == step.verb.name]
    return entries[0].plugin.distribution if entries else "swift-core"
