"""One call of `llama_model_quantize`."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoints.manifest import copy_licence
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.system.paths import atomic_folder
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
"""llama.cpp's numbers (enum llama_ftype)."""

MAX_KL = {"1": 8.0, "2": 5.0, "3": 2.0, "4": 1.0, "5": 0.5, "6": 0.1}
"""By bits: the divergence, in nats a token, past which a file is broken rather than merely coarser."""


class LlamaQuantize:
    """Quantizes the one GGUF file of a folder."""

    def __init__(self, options: LlamaQuantizeOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the quantized file into the folder `out`, the licence beside it, and return the file.

        Raises:
            UsageError: no GGUF file in the folder, or several; no importance matrix where one is named, or that of another model.
            SwiftError: llama.cpp refused it: it takes files of 32 and 16 bits.
        """
        files = sorted(checkpoint.glob("*.gguf"))
        if len(files) != 1:
            found = f"{len(files)} GGUF files here" if files else "no GGUF file here"
            hint = "Name a folder with one: swift export CHECKPOINT --to gguf --type f16 makes it."
            raise UsageError(found, where=str(checkpoint), hint=hint)
        name = f"{files[0].stem.removesuffix('-F16').removesuffix('-BF16').removesuffix('-F32')}-{self._options.type.upper()}.gguf"
        with atomic_folder(out) as folder:
            self._quantize(files[0], folder / name)
            copy_licence(checkpoint, folder)
        return out / name

    @property
    def max_kl(self) -> float:
        """Nats a token that the type may lose."""
        return MAX_KL[self._options.type.removeprefix("i")[1]]

    def load(self, exported: Path) -> LoadedGguf:
        """Load the file in llama.cpp."""
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
                "llama.cpp does not quantize this file",
                where=str(source),
                hint="It takes files of 32 and 16 bits (--to gguf --type f16); apart/log.txt in the run folder has its own reason.",
            ) from error

    def _matrix(self, source: Path) -> Mapping[str, array[float]]:
        file = matrix_file(self._options.imatrix)
        matrix = read_matrix(file)
        if not matrix.keys() & tensor_names(source):
            raise UsageError(f"the matrix is of another model than {source}", where=str(file), hint="Make one of this model: --to imatrix.")
        return matrix
