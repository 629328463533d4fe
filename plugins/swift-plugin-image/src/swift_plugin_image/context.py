"""Write the build context of an image: the Dockerfile, wheels of our distributions, requirements, and the Compose file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from swift_environments.own_wheels import write_wheel

from swift_core.system import paths
from swift_plugin_image.contents import Contents


def write_context(contents: Contents, dockerfile: str, folder: Path, *, compose: Mapping[str, Any] | None, overwrite: bool) -> None:
    """Write the folder, whole or not at all.

    Args:
        contents: what the image holds.
        dockerfile: text of the Dockerfile.
        folder: the folder to write.
        compose: the Compose file, if one is wanted.
        overwrite: replace the folder if it exists.

    Raises:
        UsageError: the folder exists.
        SwiftError: the disk is full or not writable.
    """
    with paths.atomic_folder(folder, overwrite=overwrite) as aside:
        _write_environment(aside / "swift", contents.ours, contents.pins)
        if contents.engine:
            _write_environment(aside / "engine", contents.engine_ours, contents.engine_requirements)
            if contents.engine.no_deps:
                _write_lines(aside / "engine" / "no-deps.txt", contents.engine.no_deps)
        (aside / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        (aside / ".dockerignore").write_text("*\n!swift/\n!engine/\n", encoding="utf-8")
        if compose is not None:
            import yaml

            (aside / "compose.yaml").write_text(yaml.safe_dump(dict(compose), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_environment(folder: Path, ours: Iterable[Distribution], requirements: Iterable[str]) -> None:
    folder.mkdir()
    for distribution in ours:
        write_wheel(distribution, folder)
    _write_lines(folder / "requirements.txt", requirements)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
