"""Splitting and merging of GGUF files, with the file names and keys of llama.cpp's gguf-split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import gguf
from swift_formats.files import copy_licence

from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder
from swift_plugin_gguf.options import SplitOptions
from swift_plugin_gguf.shards import model_files, stem_of


class GgufSplit:
    """The `gguf-split` exporter, which copies tensors and metadata unchanged into files of another size."""

    def __init__(self, options: SplitOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the files and the licence into the folder `out`.

        Returns:
            The path of the file; of the first file if there are several.

        Raises:
            UsageError: the folder has no GGUF model, several, or an incomplete one.
            SwiftError: the tensors written differ from those read.
        """
        files = model_files(checkpoint)
        with atomic_folder(out) as folder:
            rewrite(files, folder / f"{stem_of(files[0])}.gguf", int(self._options.shard_size * 1e9))
            if tensor_hashes(files) != tensor_hashes(sorted(folder.glob("*.gguf"))):
                raise SwiftError(
                    "the tensors written differ from those read", code="EXPORT-035", where=str(out), hint="Check the disk for errors."
                )
            copy_licence(checkpoint, folder)
        return sorted(out.glob("*.gguf"))[0]


def tensor_hashes(files: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each tensor's data, by name."""
    readers = [gguf.GGUFReader(file) for file in files]
    return {tensor.name: hashlib.sha256(tensor.data.data).hexdigest() for reader in readers for tensor in reader.tensors}


def rewrite(files: Sequence[Path], target: Path, maximum: int = 0) -> None:
    """Write the contents of `files` to `target`, or to numbered files beside it with at most `maximum` bytes of tensors each.

    Raises:
        UsageError: a file is damaged.
    """
    try:
        readers = [gguf.GGUFReader(file) for file in files]
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(
            f"damaged GGUF file: {error}", code="EXPORT-009", where=str(files[0].parent), hint="Download the files again."
        ) from error
    arch = readers[0].fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch, split_max_size=maximum)
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
