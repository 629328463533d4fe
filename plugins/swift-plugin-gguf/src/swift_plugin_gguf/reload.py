"""Reload of an exported GGUF file in transformers, for verification; features that its reader would misread are reported instead."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
from swift_train.export_comparison import LoadedExport

from swift_core.contract import SwiftError
from swift_plugin_gguf.shards import model_files
from swift_plugin_gguf.split import rewrite

if TYPE_CHECKING:
    from swift_plugin_gguf.options import GgufOptions

MAX_KL = {"f32": 1e-4, "f16": 1e-3, "auto": 0.01, "bf16": 0.01, "q8_0": 0.05, "q5_1": 0.6, "q5_0": 0.6, "q4_1": 1.0, "q4_0": 1.0}
"""Maximum mean KL divergence from the source model by type, in nats per token; more means that the file is broken."""


class ReloadMixin:
    """The verification half of an exporter: reloads the GGUF file and gives the KL limit of its type."""

    _options: GgufOptions

    @property
    def max_kl(self) -> float:
        """Maximum mean KL divergence from the source model, in nats per token."""
        return MAX_KL[self._options.type]

    def load(self, exported: Path) -> LoadedExport:
        """Load the file in transformers.

        Raises:
            NotImplementedError: its GGUF reader does not support the file.
        """
        return load(exported.parent)


def load(folder: Path) -> LoadedExport:
    """Load the one GGUF model of a folder in transformers; split files, which it can't read, are merged temporarily.

    Raises:
        NotImplementedError: transformers' reader does not know what is in it.
    """
    files = model_files(folder)
    if len(files) > 1:
        with tempfile.TemporaryDirectory(dir=folder) as one:
            rewrite(files, Path(one, "model.gguf"))
            return load(Path(one))
    if feature := unsupported_feature(gguf.GGUFReader(files[0])):
        raise NotImplementedError(f"transformers' GGUF reader does not support {feature}; llama.cpp does")
    try:
        return LoadedExport(folder)
    except SwiftError as error:
        raise NotImplementedError(f"{error.message}; llama.cpp may support it") from error


def unsupported_feature(reader: gguf.GGUFReader) -> str:
    """Return the feature of a file that transformers' GGUF reader ignores or misreads; empty if there is none."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    arch = reader.fields["general.architecture"].contents()
    if arch.replace("moe", "_moe") not in GGUF_SUPPORTED_ARCHITECTURES:
        return f"the architecture {arch}"
    if f"{arch}.expert_count" in reader.fields and arch == "llama":
        return "mixture-of-experts models of the architecture llama"
    head = reader.fields.get(f"{arch}.attention.key_length")
    size = (
        head.contents()
        if head
        else reader.fields[f"{arch}.embedding_length"].contents() // reader.fields[f"{arch}.attention.head_count"].contents()
    )
    if reader.fields[f"{arch}.rope.dimension_count"].contents() != size:
        return "partial rotary embeddings"
    scaled = any(tensor.name.startswith(("rope_freqs", "rope_factors")) for tensor in reader.tensors)
    if scaled or f"{arch}.rope.scaling.type" in reader.fields:
        return "rotary embedding scaling"
    return ""
