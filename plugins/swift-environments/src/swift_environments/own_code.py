"""Copy the running swift code into an environment: exactly the files that are running, never a package of that name from an index.

They are stored in the environment's `own/DIGEST`, and a `.pth` file puts that folder on the path. So an update, to another version or to
edited files, is one atomic write.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path

from swift_core.contract import UsageError
from swift_core.system import paths

CORE = "swift-core"
_PLUGIN = "swift-plugin-"  # how the names of plugins begin; our other distributions are libraries
_HERE = __name__.partition(".")[0].replace("_", "-")  # creates environments, and is not needed inside one
_POINTER = "swift_own_code.pth"
Files = dict[str, bytes]  # path within the folder → content


def distributions(plugin: str) -> list[Distribution]:
    """Return the plugin's distribution, the libraries that it depends on, and swift-core itself.

    Raises:
        UsageError: a dependency is not installed here, so it can't be copied.
    """
    found: dict[str, Distribution] = {}
    pending = [plugin, CORE]
    while pending:
        name = _canonical(pending.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for text, needed in _needs(found[name]):
            try:
                ours = _is_ours(needed)
            except importlib.metadata.PackageNotFoundError:
                raise UsageError(
                    f"{found[name].name} needs {text}, which is not installed here", code="ENV-021", hint=f"pip install '{text}'"
                ) from None
            if ours and needed != _HERE and not needed.startswith(_PLUGIN):  # no plugin imports another
                pending.append(needed)
    return [found[name] for name in sorted(found)]


@cache
def _is_ours(name: str) -> bool:
    """Return whether a distribution is swift-core or depends on it."""
    return name == CORE or any(needed == CORE for _, needed in _needs(importlib.metadata.distribution(name)))


def third_party(ours: Sequence[Distribution]) -> tuple[str, ...]:
    """Return the third-party requirements of our distributions, sorted."""
    return tuple(sorted({text for each in ours for text, needed in _needs(each) if not _is_ours(needed)}))


def not_copied(ours: Sequence[Distribution]) -> set[str]:
    """Return the names of our other distributions that these depend on, which an environment does not need."""
    return {needed for each in ours for _, needed in _needs(each) if _is_ours(needed)} - {_canonical(each.name) for each in ours}


def requires_python(ours: Sequence[Distribution]) -> str:
    """Return the Python versions that all of them support, as a specifier (PEP 440)."""
    return ",".join(sorted({str(each.metadata["Requires-Python"]) for each in ours if "Requires-Python" in each.metadata}))


def versions(ours: Sequence[Distribution]) -> dict[str, str]:
    """Map name → version."""
    return {each.name: each.version for each in ours}


def install(ours: Sequence[Distribution], environment: Path, site_packages: Path) -> str:
    """Copy the running code into the environment unless it is up to date; return its digest."""
    running = files(ours)
    name = _digest(running)
    home = environment / "own" / name
    pointer = site_packages / _POINTER
    if current(site_packages) == home and home.is_dir():
        return name
    shutil.rmtree(home, ignore_errors=True)
    with paths.atomic_folder(home) as aside:
        for relative, content in running.items():
            path = aside / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    paths.write_text(pointer, f"{home}\n")
    for other in home.parent.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
    return name


def digest(ours: Sequence[Distribution]) -> str:
    """Return a digest of the code: names and contents of all files, 16 hex digits."""
    return _digest(files(ours))


def current(site_packages: Path) -> Path | None:
    """Return the folder of our code that the environment uses now; None if it has none."""
    try:
        return Path((site_packages / _POINTER).read_text(encoding="utf-8").strip())
    except OSError:
        return None


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _needs(distribution: Distribution) -> Iterator[tuple[str, str]]:
    """Yield each requirement that applies here without extras, as text and as canonical name."""
    for text in distribution.requires or ():
        if name := _needed(text):
            yield text, name


@cache
def _needed(text: str) -> str:
    """Return the canonical name in a requirement; '' if it does not apply here without extras."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    holds = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    return _canonical(requirement.name) if holds else ""


def _info(distribution: Distribution) -> Files:
    """Return the dist-info files that make it an installed distribution with entry points in the environment too."""
    folder = f"{_canonical(distribution.name).replace('-', '_')}-{distribution.version}.dist-info"
    texts = {name: distribution.read_text(name) for name in ("METADATA", "entry_points.txt")}
    return {f"{folder}/{name}": text.encode() for name, text in texts.items() if text} | {f"{folder}/INSTALLER": b"swift\n"}


def _code(distribution: Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield the files in site-packages; for an editable install, those of the packages that it points to."""
    listed = [] if _editable(distribution) else distribution.files or []
    for entry in listed:
        if entry.parts[0] != ".." and not entry.parts[0].endswith(".dist-info") and entry.suffix != ".pyc":
            yield entry.as_posix(), Path(str(entry.locate())).read_bytes()
    if listed:
        return
    for name in sorted(_top_level(distribution)):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin)
        if not spec.submodule_search_locations:
            yield source.name, source.read_bytes()
            continue
        for path in sorted(source.parent.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(source.parent).as_posix()}", path.read_bytes()


def _editable(distribution: Distribution) -> bool:
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def _top_level(distribution: Distribution) -> set[str]:
    named = (distribution.read_text("top_level.txt") or "").split()
    points = {point.value.partition(":")[0].partition(".")[0] for point in distribution.entry_points}
    return {*named, *points, _canonical(distribution.name).replace("-", "_")}


def files(ours: Sequence[Distribution]) -> Files:
    """Return the running files of our distributions, with what makes them installed distributions."""
    found: Files = {}
    for each in ours:
        found |= _info(each) | dict(_code(each))
    return found


def _digest(content: Files) -> str:
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(f"{name}\0{len(content[name])}\0".encode())
        total.update(content[name])
    return total.hexdigest()[:16]
