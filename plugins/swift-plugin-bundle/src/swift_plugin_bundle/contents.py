"""The contents of a bundle from this machine: checkpoints and data sets from the caches of hubs, and the recipe's own files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_data.choices import choose_dataset, fetch_dataset
from swift_provenance.licences import card_header, terms_of_checkpoint, terms_of_data
from swift_recipes.recipe import Step, read_recipe

from swift_core.checkpoints import MANIFEST, Checkpoint, Fetcher
from swift_core.contract import Progress, Run, Settings, UsageError
from swift_core.options import listed, normalise
from swift_core.plugins import registry
from swift_core.runs import resolve
from swift_core.system import cache_dir

HOME, HUGGING_FACE = "home", "huggingface"


@dataclass(slots=True)
class Contents:
    """Files of a bundle by their name in it, and what they are: {name, hash, licence} of each checkpoint and data set."""

    files: dict[str, Path] = field(default_factory=dict)
    checkpoints: list[dict[str, str]] = field(default_factory=list)
    data: list[dict[str, str]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)  # the steps that could be resolved without running others
    readers: set[str] = field(default_factory=set)  # the distributions that read the data sets

    def add_folder(self, folder: Path, name: str) -> None:
        """Add all files of a folder; links of a cache become the files they lead to."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.files[f"{name}/{path.relative_to(folder).as_posix()}"] = path


def contents_of(recipe: Path, progress: Progress | None = None) -> tuple[list[Step], Contents]:
    """Fetch what a recipe needs and return its steps, with the files that the other machine needs.

    Raises:
        UsageError: the recipe is invalid, or names something that can't be carried: a path outside its folder, a hub's data set.
        SwiftError: a download failed.
    """
    found = Contents({"work/recipe.yaml": recipe})
    steps = read_recipe(recipe)
    for step in steps:
        values = normalise(step.settings.values)
        for text in _texts(values):
            _add_local(text, found, step)
        settings = Settings(values, dict(step.settings.lines))
        if "${" not in str(values) and step.verb.gives != "server":
            run = resolve(step.verb, settings, progress=progress).run
            found.runs.append(run)
            for source in (run.model, *run.adapters.values()):
                if source:
                    _add_checkpoint(Path(source.path), source.reference, found)
        for text in [*listed(values.get("model")), *(str(each).rpartition("=")[2] for each in listed(values.get("adapter")))]:
            _add_original(str(text), values, found)
        for asked in [*listed(values.get("dataset")), *listed(values.get("val_dataset"))]:
            _add_data(asked, values, found, step, progress)
    return steps, found


def _add_original(text: str, values: Mapping[str, Any], found: Contents) -> None:
    """Add what a hub delivered; a converted checkpoint is looked up by it."""
    if "${" in text or Path(text).exists():
        return
    fetcher = Fetcher(registry(), hub=str(values.get("hub") or ""))
    reference = fetcher.reference(text)
    _add_checkpoint(fetcher.folder(reference, "model"), str(reference), found)


def _add_checkpoint(folder: Path, reference: str, found: Contents) -> None:
    checkpoint = Checkpoint.at(folder)
    terms = terms_of_checkpoint(folder, reference)
    record = {"name": reference, "hash": checkpoint.hash(), "licence": terms.licence}
    if record not in found.checkpoints:
        found.checkpoints.append(record)
        _add_cached(folder, found)


def _add_data(asked: Any, values: Mapping[str, Any], found: Contents, step: Step, progress: Progress | None) -> None:
    if "${" in str(asked):
        return
    choice = fetch_dataset(choose_dataset(registry(), asked, {}, step.line, hub=str(values.get("hub") or "")), progress)
    if choice.name == "hub":
        hint = "Download its files, and name them in the recipe by a path."
        raise UsageError(
            f"'{choice.asked}' is a hub's data set, which a bundle can't contain", code="BUNDLE-003", where=step.line, hint=hint
        )
    for file in choice.build().fetch(progress):
        if _root_of(file):
            _add_cached(file, found)
    found.readers.add(choice.distribution)
    record = {"name": choice.asked, "hash": choice.hash, "licence": terms_of_data(choice, registry()).licence}
    if record not in found.data:
        found.data.append(record)


def _add_cached(path: Path, found: Contents) -> None:
    """Add a file or folder of a cache, with the folder that its manifest describes."""
    root = _root_of(path)
    if root is None:  # a local folder: it was added with the recipe's files
        return
    place, name = root
    folder = path if path.is_dir() else path.parent
    while not (folder / MANIFEST).is_file() and place not in {folder, folder.parent}:
        folder = folder.parent
    if name == HUGGING_FACE:  # hub/models--org--name/snapshots/REVISION: with the names of revisions
        folder = path if path.is_dir() else path.parent
        repository = folder.parent.parent
        found.add_folder(repository / "refs", f"{name}/hub/{repository.name}/refs")
    found.add_folder(folder, f"{name}/{folder.relative_to(place).as_posix()}")


def _root_of(path: Path) -> tuple[Path, str] | None:
    """Return the cache that a path is in, and its name in a bundle."""
    hugging_face = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    for place, name in ((cache_dir(), HOME), (hugging_face, HUGGING_FACE)):
        if path.absolute().is_relative_to(place.absolute()):
            return place.absolute(), name
    return None


def _add_local(text: str, found: Contents, step: Step) -> None:
    """Add a file or folder that a setting names, by its path in the folder of the recipe's commands."""
    pattern = text.partition("#")[0]
    path = Path(pattern).expanduser()
    if not pattern or "${" in text or "\n" in text or not _exists(path):
        return
    if path.is_absolute() or ".." in path.parts:
        hint = "Put it into a folder below this one, and name it by that path."
        raise UsageError(
            f"'{text}' is not below the current folder, so a bundle can't contain it", code="BUNDLE-004", where=step.line, hint=hint
        )
    if path.is_dir():
        found.add_folder(path, f"work/{path.as_posix()}")
        return
    found.files[f"work/{path.as_posix()}"] = path
    card = path.parent / "README.md"
    if card.is_file() and card_header(card.read_text(encoding="utf-8", errors="replace")).get("license"):
        found.files[f"work/{card.as_posix()}"] = card


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that is too long for a path
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
