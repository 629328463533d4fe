"""Check and install a bundle. It is the `__main__.py` of every bundle, so it needs nothing but Python's standard library.

python NAME.pyz show | check | install FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

FORMAT = 1
INDEX = "bundle.json"
MAIN = "__main__.py"
_BLOCK = 1 << 20


class Refused(Exception):
    """The bundle is not what it says, or can't be installed here."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(f"{message} [SWIFT-{code}]")


class Bundle:
    """An opened bundle: its index, and the archives with its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(INDEX)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Refused(f"{path} is not a bundle: {error}", code="BUNDLE-006") from error
        self.digest = hashlib.sha256(raw).hexdigest()
        self.index: dict[str, Any] = json.loads(raw)
        if self.index.get("format") != FORMAT:
            raise Refused(f"{path} has the format {self.index.get('format')}, but this program reads {FORMAT}", code="BUNDLE-007")

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(entry["size"] for entry in self.index["files"].values())

    def part(self, number: int) -> Path:
        """Return the path of an archive: the bundle itself, or NAME.part1, … beside it."""
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.part{number}")

    def check(self) -> None:
        """Check every file against its hash, and that the archives hold nothing else."""
        expected: dict[int, set[str]] = {number: set() for number in range(self.index["parts"])}
        expected[0] |= {INDEX, MAIN}
        for name, entry in self.index["files"].items():
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\\" in name:
                raise Refused(f"it has a file with the path '{name}', which leads out of the folder", code="BUNDLE-008")
            for piece in entry["pieces"]:
                expected[piece["part"]].add(piece["name"])
        archives = {}
        try:
            for number, names in expected.items():
                archives[number] = archive = self._open(number)
                found = archive.namelist()
                if len(found) != len(set(found)) or set(found) != names:
                    odd = sorted(set(found) ^ names) or found
                    raise Refused(
                        f"{self.part(number).name} does not contain what the index lists: {', '.join(odd[:3])}", code="BUNDLE-009"
                    )
            for name, entry in self.index["files"].items():
                digest, size = hashlib.sha256(), 0
                for block in self._blocks(archives, entry):
                    digest.update(block)
                    size += len(block)
                if digest.hexdigest() != entry["sha256"] or size != entry["size"]:
                    raise Refused(f"'{name}' was altered: its SHA-256 is not the one in the index", code="BUNDLE-010")
        except (zipfile.BadZipFile, EOFError) as error:
            raise Refused(f"an archive is damaged: {error}", code="BUNDLE-011") from error
        finally:
            for archive in archives.values():
                archive.close()

    def extract(self, folder: Path) -> None:
        """Write all files into a folder."""
        archives = {number: self._open(number) for number in range(self.index["parts"])}
        try:
            for name, entry in self.index["files"].items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    _write(file, self._blocks(archives, entry), entry["sha256"], name)
        finally:
            for archive in archives.values():
                archive.close()

    def _open(self, number: int) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.part(number))
        except (OSError, zipfile.BadZipFile) as error:
            raise Refused(f"the part {self.part(number)} can't be read: {error}", code="BUNDLE-012") from error

    @staticmethod
    def _blocks(archives: dict[int, zipfile.ZipFile], entry: dict[str, Any]) -> Iterator[bytes]:
        for piece in entry["pieces"]:
            with archives[piece["part"]].open(piece["name"]) as source:
                yield from iter(lambda source=source: source.read(_BLOCK), b"")  # type: ignore[misc]


def _write(file: BinaryIO, blocks: Iterator[bytes], expected: str, name: str) -> None:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
        file.write(block)
    if digest.hexdigest() != expected:
        raise Refused(f"'{name}' was altered while it was being installed", code="BUNDLE-013")


def check_machine(index: dict[str, Any]) -> None:
    """Check that the bundle is for this Python and platform."""
    here = ".".join(map(str, sys.version_info[:2]))
    if here != index["python"]:
        raise Refused(
            f"the bundle is for Python {index['python']}, and this is {here}: run it with python{index['python']}", code="BUNDLE-014"
        )
    machine = f"{platform.system().lower()}_{platform.machine().lower()}"
    if machine != index["machine"]:
        raise Refused(f"the bundle is for {index['machine']}, and this is {machine}", code="BUNDLE-015")


def install(bundle: Bundle, target: Path) -> None:
    """Check the bundle, write its files, and make the environment; nothing is left if that fails."""
    check_machine(bundle.index)
    if target.exists():
        raise Refused(f"'{target}' exists: choose another folder", code="BUNDLE-016")
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < bundle.size * 2.2:  # the wheels, and what is installed from them
        raise Refused(f"it needs about {_size(int(bundle.size * 2.2))}, and {parent} has {_size(free)} free", code="BUNDLE-017")
    bundle.check()
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    target.mkdir()
    try:
        bundle.extract(target)
        python = _environment(target)
        _launcher(bundle.index, target, python)
        about = {"bundle": bundle.path.name, "sha256": bundle.digest, "name": bundle.index["name"]}
        (target / "installed.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _environment(target: Path) -> Path:
    """Make the virtual environment with exactly the wheels of the lock, by the pip among them."""
    environment = target.absolute() / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    (pip,) = (target / "wheels").glob("pip-*.whl")
    options = ["--no-index", "--no-deps", "--find-links", str(target / "wheels"), "--require-hashes", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_CACHE_DIR": scratch, "PYTHONSAFEPATH": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        done = subprocess.run(
            [str(python), str(pip / "pip"), "install", *options, "-r", str(target / "requirements.lock")],
            env={**clean, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise Refused(f"pip failed: {done.stderr.strip()[-600:]}", code="BUNDLE-018")
    return python


def _launcher(index: dict[str, Any], target: Path, python: Path) -> None:
    """Write `swift`, which runs the environment's with the caches of the bundle and without the network."""
    home = target.absolute()
    variables = {name: str(home / place) for name, place in index["environment"].items()}
    lines = ["#!/bin/sh", *(f'export {name}="{value}"' for name, value in {**variables, **index["settings"]}.items())]
    lines += [f'cd "{home / "work"}" || exit 1', f'exec "{python}" -P -m swift_core.cli "$@"', ""]
    script = target / "swift"
    script.write_text("\n".join(lines), encoding="utf-8")
    script.chmod(0o755)


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield what a bundle holds, as lines."""
    index = bundle.index
    yield f"{index['name']}: {_size(bundle.size)} in {len(index['files'])} files, {index['parts']} part(s)"
    yield f"for Python {index['python']} on {index['machine']}; index SHA-256 {bundle.digest}"
    for kind in ("checkpoints", "data", "packages"):
        for item in index[kind]:
            yield f"  {kind[:-1] if kind.endswith('s') else kind}: {item['name']}  licence: {item['licence'] or 'not stated'}"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count = count // 1000 if unit != "MB" else count
        if unit == "MB":
            break
    return f"{count / 1000:.1f} GB"


def main(words: list[str] | None = None, path: Path | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Check and install this bundle; see docs/how-to/air-gap.md.")
    parser.add_argument("--sha256", default="", help="expected SHA-256 of the index, as given by the creator of the bundle")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help="list what the bundle holds")
    commands.add_parser("check", help="check every file, and write nothing")
    commands.add_parser("install", help="install into a new folder").add_argument("folder", type=Path)
    given = parser.parse_args(words)
    try:
        bundle = Bundle(path or Path(sys.argv[0]))
        if given.sha256 and given.sha256 != bundle.digest:
            raise Refused(f"the index has the SHA-256 {bundle.digest}, not {given.sha256}", code="BUNDLE-019")
        if given.command == "show":
            sys.stdout.writelines(f"{line}\n" for line in describe(bundle))
        elif given.command == "check":
            bundle.check()
            sys.stdout.write("every file is as listed\n")
        else:
            install(bundle, given.folder)
            sys.stdout.write(f"installed: {given.folder}\nrun it: {given.folder / 'swift'} run {bundle.index['recipe']}\n")
    except (Refused, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"bundle: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
