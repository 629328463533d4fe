"""A GGUF model in files of another size: cut into several, named as llama.cpp's own gguf-split names them, or made one of several."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import gguf

from swift_core.checkpoint import copy_licence
from swift_core.errors import SwiftError, UsageError
from swift_core.paths import atomic_folder
from swift_plugin_gguf.options import SplitOptions
from swift_plugin_gguf.shards import model_files, stem_of


class GgufSplit:
    """Copies tensors and metadata as they are into other files."""

    def __init__(self, options: SplitOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the files, and the licence beside them, into the folder `out`.

        Returns:
            The file; the first, where there are several.

        Raises:
            UsageError: no GGUF model in the folder, several, or not all files of one.
            SwiftError: what was written is not what was read.
        """
        files = model_files(checkpoint)
        with atomic_folder(out) as folder:
            rewrite(files, folder / f"{stem_of(files[0])}.gguf", int(self._options.shard_size * 1e9))
            if tensor_hashes(files) != tensor_hashes(sorted(folder.glob("*.gguf"))):
                raise SwiftError("the weights were not written as they were read", where=str(out), hint="Is the disk sound?")
            copy_licence(checkpoint, folder)
        return sorted(out.glob("*.gguf"))[0]


def tensor_hashes(files: Sequence[Path]) -> dict[str, str]:
    """A hash of each tensor by its name."""
    readers = [gguf.GGUFReader(file) for file in files]
    return {each.name: hashlib.sha256(each.data).hexdigest() for reader in readers for each in reader.tensors}


def rewrite(files: Sequence[Path], target: Path, most: int = 0) -> None:
    """Write what is in `files` as `target`, or as files beside it of at most `most` bytes of weights.

    Raises:
        UsageError: a file is damaged.
    """
    try:
        readers = [gguf.GGUFReader(file) for file in files]
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(f"not whole GGUF files: {error}", where=str(files[0].parent), hint="Fetch them again.") from error
    arch = readers[0].fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch, split_max_size=most)
    for field in readers[0].fields.values():
        if field.name.startswith(("GGUF.", "split.")) or field.name == "general.architecture":
            continue
        kind = field.types[0]
        part = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=part)
    for reader in readers:
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
