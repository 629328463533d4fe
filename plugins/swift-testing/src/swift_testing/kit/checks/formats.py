"""Checks of a checkpoint format: which folders it recognises, what the identity of a checkpoint covers, and what its check refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

from swift_core.checkpoints import Checkpoint, hash_files
from swift_core.contract import FormatSpec, UsageError
from swift_core.plugins import format_of, matches, recognised, registry
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

FORMAT = "format"
_PICKLES = ("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl")
_ABOUT = ("LICEN[CS]E*", "README*", "METADATA", "swift.json")  # files that are no part of the model


def _example(subject: Subject) -> Path:
    """Return a small checkpoint in the format: what the example writes, or the tiny model itself.

    Raises:
        Skip: there is none.
    """

    def make() -> Path:
        folder = subject.new_folder("checkpoint")
        if subject.example.checkpoint:
            folder.mkdir()
            subject.example.checkpoint(subject.tiny_model, folder)
            return folder
        shutil.copytree(subject.tiny_model, folder)
        if format_of(folder).name != subject.spec.name:
            raise Skip(f"the plugin's SWIFT_EXAMPLES has no checkpoint in the format '{subject.spec.name}'")
        return folder

    return subject.keep("checkpoint", make)


@check(FORMAT)
def check_patterns(subject: Subject) -> None:
    """It says how a folder is recognised and which files are weights, and no pattern matches pickles, which can run code when read."""
    require(subject.spec.recognised_by, "recognised_by is empty, so it would recognise every folder")
    require(subject.spec.weights, "it names no weight files")
    pickled = [name for name in _PICKLES if matches(name, (*subject.spec.recognised_by, *subject.spec.weights))]
    require(not pickled, f"its patterns match files that are usually pickles: {', '.join(pickled)}")


@check(FORMAT)
def check_format_is_unambiguous(subject: Subject) -> None:
    """It does not take the place of another format: a folder with only the files of another one is still recognised as that one."""
    for entry in registry().entries(FormatSpec):
        if entry.spec.name != subject.spec.name:
            names = [pattern.replace("*", "model") for pattern in entry.spec.recognised_by]
            found = recognised(names)
            require(found is not None and found.name != subject.spec.name, f"it recognises {', '.join(names)}, which is {entry.spec.name}")


@check(FORMAT)
def check_example_is_recognised(subject: Subject) -> None:
    """A checkpoint in the format is recognised as such, and passes its own check."""
    folder = _example(subject)
    found = format_of(folder).name
    require(found == subject.spec.name, f"its example is recognised as {found}")
    Checkpoint.at(folder).check()


@check(FORMAT)
def check_hash_covers_every_file(subject: Subject) -> None:
    """Every file of a checkpoint is part of its identity: otherwise changed weights would be taken for the same model."""
    folder = _example(subject)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and not matches(path.name, _ABOUT)}
    left_out = sorted(files - set(hash_files(folder)))
    require(not left_out, f"these files are in neither `weights` nor `others`, so they are not hashed: {', '.join(left_out)}")
    require(Checkpoint.at(folder).weights, "no file of its example matches `weights`")


@check(FORMAT)
def check_missing_weights(subject: Subject) -> None:
    """A checkpoint without its weights is a UsageError with a hint before any work starts."""
    folder = subject.new_folder("incomplete")
    shutil.copytree(_example(subject), folder)
    for file in Checkpoint.at(folder).weights:
        file.unlink()
    try:
        Checkpoint.at(folder).check()
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    raise CheckFailed("without its weight files, the checkpoint passes")
