"""The hub `file:`: a local checkpoint folder, checked and used in place."""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_core.contract import Progress, Reference, Select, UsageError, suggestion
from swift_core.plugins import format_of
from swift_core.system import paths


class FileHub:
    """Local folders; a `.gguf` file stands for the folder that contains it."""

    def __init__(self, options: None = None) -> None:
        del options

    def fetch(self, reference: Reference, *, select: Select, progress: Progress | None = None) -> Path:
        """Return the folder itself; nothing is copied, and `select` is not called.

        Raises:
            UsageError: the folder does not exist, or has no weights or only pickled ones.
        """
        path = Path(reference.name).expanduser()
        if not path.exists():
            siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UsageError(
                "there is no such file or folder",
                code="HUB-014",
                where=str(path),
                hint=suggestion(path.name, siblings) or "Check the path.",
            )
        if path.suffix == ".gguf":
            beside = [item.name for item in path.parent.glob("*.gguf") if item != path]
            if beside:
                raise UsageError(
                    f"the folder has other GGUF files too ({beside[0]})",
                    code="HUB-015",
                    where=str(path),
                    hint="Move the file into a folder of its own.",
                )
            path = path.parent
        elif path.is_file():
            raise UsageError("this is a file, not a checkpoint folder", code="HUB-016", where=str(path), hint=_folder_hint(path.parent))
        format_of(path)
        return path

    def push(self, folder: Path, reference: Reference, *, message: str, private: bool) -> str:
        """Copy the folder to the reference's path, and return the path.

        Raises:
            UsageError: the path exists.
        """
        target = Path(reference.name).expanduser()
        with paths.atomic_folder(target) as aside:
            shutil.copytree(folder, aside, dirs_exist_ok=True)
        return str(target)


def _folder_hint(folder: Path) -> str:
    """Return what to name in place of a file in `folder`."""
    try:
        format_of(folder)
    except UsageError:
        return "Name a checkpoint folder, a .gguf file, or a hub reference such as hf:org/name."
    return f"Name its folder: {folder}"
