"""GGUF files: which one a checkpoint is, its metadata, and whether all of its tensors were loaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from gguf import GGUFReader


def gguf_file(checkpoint: Path) -> Path | None:
    """Return the GGUF file of a checkpoint folder without safetensors, or `checkpoint` if it is a file; None if there is none.

    Raises:
        UsageError: the folder has more than one.
    """
    if checkpoint.is_file():
        return checkpoint
    files = sorted(checkpoint.glob("*.gguf"))
    if not files or any(checkpoint.glob("*.safetensors")):
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UsageError(
            f"multiple GGUF files: {names}", code="MODEL-014", where=str(checkpoint), hint="Move the one to use into its own folder."
        )
    return files[0]


def read_gguf(file: Path) -> GGUFReader:
    """Read metadata and tensor table of a GGUF file.

    Raises:
        UsageError: it is not a GGUF file, or is truncated.
    """
    facts = file.stat()
    try:
        return _parsed(file, facts.st_mtime_ns, facts.st_size)
    except (ValueError, IndexError, KeyError) as error:
        size = facts.st_size
        raise UsageError(
            f"not a GGUF file, or truncated ({size:,} bytes): {error}", code="MODEL-015", where=str(file), hint="Fetch the model again."
        ) from error


@lru_cache(maxsize=1)
def _parsed(file: Path, _modified: int, _size: int) -> GGUFReader:
    """Return the reader of a file; parsing takes seconds for a large vocabulary, and a conversion needs it before the model and with it."""
    import gguf

    return gguf.GGUFReader(file)  # maps every tensor, and fails if one is beyond the end of the file


def check_all_tensors_loaded(model: Any, reader: GGUFReader, file: Path) -> None:
    """Check that the model has as many parameters as its file: transformers' GGUF reader skips tensors that it can't map.

    Raises:
        UsageError: tensors were skipped, so that the model would differ from what llama.cpp loads.
    """
    computed = ("rope_freqs", "rope_factors")  # computed from the config, not parameters
    stored = sum(int(tensor.n_elements) for tensor in reader.tensors if not tensor.name.startswith(computed))
    read = sum(parameter.numel() for parameter in model.parameters())
    if read < stored:
        biases = [tensor.name for tensor in reader.tensors if tensor.name.endswith(".bias")]
        shown = f" (the file has biases, such as {biases[0]})" if biases else ""
        raise UsageError(
            f"transformers' GGUF reader skips {stored - read:,} of the file's {stored:,} parameters{shown}",
            code="MODEL-016",
            where=str(file),
            hint="Use the model's safetensors, or serve the file with llama.cpp.",
        )
