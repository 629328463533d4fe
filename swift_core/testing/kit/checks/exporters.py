"""An exporter on the tiny model: a file or folder of the other format, the same every time."""

from __future__ import annotations

from pathlib import Path

from swift_core import paths
from swift_core.errors import SwiftError
from swift_core.testing.kit.model import CheckFailed, Skip, check, require
from swift_core.testing.kit.subject import Subject

EXPORTER = "exporter"
_NEEDS = ("torch", "transformers")


def _exported(subject: Subject, again: bool = False) -> tuple[Path, Path]:
    """The folder that was named, and what the exporter says a reader opens; once more if `again`."""
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, and the tiny model has no others")
    subject.needs_engine()

    def make() -> tuple[Path, Path]:
        out = subject.new_folder("exported")
        return out, Path(subject.build().export(subject.tiny_model, out))

    return make() if again else subject.keep("exported", make)


def _hashes(out: Path) -> dict[str, str]:
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {path.name if path == out else path.relative_to(out).as_posix(): paths.sha256(path) for path in files}


@check(EXPORTER, needs=_NEEDS)
def check_export(subject: Subject) -> None:
    """What it returns is there, and at or below where it was told to write."""
    out, opened = _exported(subject)
    require(opened.exists(), f"it returns {opened}, which is not there")
    require(opened == out or out in opened.parents, f"it was told to write to {out}, and returns {opened}")


@check(EXPORTER, needs=_NEEDS)
def check_export_is_deterministic(subject: Subject) -> None:
    """The same checkpoint gives the same files, bit by bit."""
    one, other = _hashes(_exported(subject)[0]), _hashes(_exported(subject, again=True)[0])
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    require(not differ, f"exported twice, these files differ: {', '.join(differ)}")


@check(EXPORTER)
def check_missing_checkpoint_is_refused(subject: Subject) -> None:
    """A checkpoint that is not there is a SwiftError with a hint, and leaves nothing behind."""
    subject.needs_engine()
    out = subject.new_folder("nothing")
    try:
        subject.build().export(subject.folder / "nowhere", out)
    except SwiftError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        require(not out.exists(), "it left something behind")
        return
    except Exception as error:
        raise CheckFailed(f"a missing checkpoint ends in {type(error).__name__}: {error}") from error
    raise CheckFailed("a missing checkpoint is no error")
