"""Quantize a GGUF file with llama.cpp's `llama_model_quantize`."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from swift_formats.files import copy_licence

from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder
from swift_plugin_llama_cpp.imatrix import matrix_file, read_matrix, tensor_names, with_matrix
from swift_plugin_llama_cpp.options import LlamaQuantizeOptions

if TYPE_CHECKING:
    from swift_plugin_llama_cpp.loaded_model import LoadedGguf

FILE_TYPES = {
    "q2_k": 10,
    "q3_k_s": 11,
    "q3_k_m": 12,
    "q3_k_l": 13,
    "q4_k_s": 14,
    "q4_k_m": 15,
    "q5_k_s": 16,
    "q5_k_m": 17,
    "q6_k": 18,
    "iq2_xxs": 19,
    "iq2_xs": 20,
    "q2_k_s": 21,
    "iq3_xs": 22,
    "iq3_xxs": 23,
    "iq1_s": 24,
    "iq4_nl": 25,
    "iq3_s": 26,
    "iq3_m": 27,
    "iq2_s": 28,
    "iq2_m": 29,
    "iq4_xs": 30,
    "iq1_m": 31,
}
"""llama.cpp's file type numbers (enum llama_ftype in llama.h)."""

MAX_KL = {"1": 8.0, "2": 5.0, "3": 2.0, "4": 1.0, "5": 0.5, "6": 0.1}
"""Maximum mean KL divergence (nats per token), by bit width; a file above it is considered broken, not merely coarser."""


class LlamaQuantize:
    """Quantizes the single GGUF file of a folder."""

    def __init__(self, options: LlamaQuantizeOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the quantized file and the licence into the folder `out`, and return the file.

        Raises:
            UsageError: the folder has no GGUF file or several; or the importance matrix is missing or belongs to another model.
            SwiftError: llama.cpp refused the file: it quantizes 32- and 16-bit files only.
        """
        files = sorted(checkpoint.glob("*.gguf"))
        if len(files) != 1:
            message = f"the folder has {len(files)} GGUF files" if files else "the folder has no GGUF file"
            hint = "Name a folder with exactly one; create it with: swift export CHECKPOINT --to gguf --type f16."
            raise UsageError(message, code="EXPORT-043", where=str(checkpoint), hint=hint)
        name = f"{files[0].stem.removesuffix('-F16').removesuffix('-BF16').removesuffix('-F32')}-{self._options.type.upper()}.gguf"
        with atomic_folder(out) as folder:
            self._quantize(files[0], folder / name)
            copy_licence(checkpoint, folder)
        return out / name

    @property
    def max_kl(self) -> float:
        """Return the maximum mean KL divergence that verification allows for this type, in nats per token."""
        return MAX_KL[self._options.type.removeprefix("i")[1]]

    def load(self, exported: Path) -> LoadedGguf:
        """Load the exported file in llama.cpp, for verification."""
        from swift_plugin_llama_cpp.loaded_model import LoadedGguf

        return LoadedGguf(exported, self._options.threads)

    def _quantize(self, source: Path, target: Path) -> None:
        from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize

        params = LlamaModelQuantizeParams()
        params.ftype = FILE_TYPES[self._options.type]
        params.nthread = self._options.threads or os.cpu_count() or 1
        try:
            with with_matrix(params, self._matrix(source)) if self._options.imatrix else nullcontext():
                model_quantize(str(source), str(target), params)
        except RuntimeError as error:
            raise SwiftError(
                "llama.cpp refused to quantize this file",
                code="EXPORT-044",
                where=str(source),
                hint="Use a 32- or 16-bit file (--to gguf --type f16); llama.cpp's reason is in engine/log.txt of the run folder.",
            ) from error

    def _matrix(self, source: Path) -> Mapping[str, array[float]]:
        file = matrix_file(self._options.imatrix)
        matrix = read_matrix(file)
        if not matrix.keys() & tensor_names(source):
            message = f"the importance matrix belongs to another model than {source}"
            raise UsageError(message, code="EXPORT-045", where=str(file), hint="Create one for this model with --to imatrix.")
        return matrix
