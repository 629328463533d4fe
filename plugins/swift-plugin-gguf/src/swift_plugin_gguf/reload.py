"""A GGUF file loaded again, by transformers, which knows less of GGUF than llama.cpp: what it would read wrongly it is not asked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
from swift_train.export_comparison import LoadedExport

from swift_core.errors import SwiftError
from swift_plugin_gguf.shards import model_files
from swift_plugin_gguf.split import rewrite

if TYPE_CHECKING:
    from swift_plugin_gguf.options import GgufOptions

MAX_KL = {"f32": 1e-4, "f16": 1e-3, "auto": 0.01, "bf16": 0.01, "q8_0": 0.05, "q5_1": 0.6, "q5_0": 0.6, "q4_1": 1.0, "q4_0": 1.0}
"""By type: the divergence, in nats a token, past which a file is broken rather than merely coarser."""


class ReloadMixin:
    """An exporter whose GGUF file, in the type of its options, is loaded again for the comparison with its source."""

    _options: GgufOptions

    @property
    def max_kl(self) -> float:
        """Nats a token that the type may lose."""
        return MAX_KL[self._options.type]

    def load(self, exported: Path) -> LoadedExport:
        """Load the file with transformers.

        Raises:
            NotImplementedError: its reader does not know what is in it.
        """
        return load(exported.parent)


def load(folder: Path) -> LoadedExport:
    """Load the one GGUF model of a folder; transformers reads one file, so several are made one for the while.

    Raises:
        NotImplementedError: transformers' reader does not know what is in it.
    """
    files = model_files(folder)
    if len(files) > 1:
        with tempfile.TemporaryDirectory(dir=folder) as one:
            rewrite(files, Path(one, "model.gguf"))
            return load(Path(one))
    if unknown := unsupported_feature(gguf.GGUFReader(files[0])):
        raise NotImplementedError(f"transformers' reader of GGUF files does not know {unknown}; llama.cpp does")
    try:
        return LoadedExport(folder)
    except SwiftError as error:
        raise NotImplementedError(f"{error.message}; llama.cpp may read it") from error


def unsupported_feature(reader: gguf.GGUFReader) -> str:
    """What of a file transformers' reader passes over or takes for something else; empty: nothing that we write."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    arch = reader.fields["general.architecture"].contents()
    if arch.replace("moe", "_moe") not in GGUF_SUPPORTED_ARCHITECTURES:
        return f"the architecture {arch}"
    if f"{arch}.expert_count" in reader.fields and arch == "llama":
        return "mixtures of experts of the architecture llama"
    head = reader.fields.get(f"{arch}.attention.key_length")
    size = (
        head.contents()
        if head
        else reader.fields[f"{arch}.embedding_length"].contents() // reader.fields[f"{arch}.attention.head_count"].contents()
    )
    if reader.fields[f"{arch}.rope.dimension_count"].contents() != size:
        return "rotary embeddings of a part of the head"
    stretched = any(tensor.name.startswith(("rope_freqs", "rope_factors")) for tensor in reader.tensors)
    if stretched or f"{arch}.rope.scaling.type" in reader.fields:
        return "stretched rotary embeddings"
    return ""
