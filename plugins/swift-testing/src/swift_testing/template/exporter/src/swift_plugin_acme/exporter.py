"""Convert tensors to NumPy arrays; bfloat16, which NumPy does not have, becomes float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from swift_core.contract import UsageError
from swift_core.system import paths


class Acme:
    """Exports a checkpoint to `weights.npz`."""

    def __init__(self, options: None = None) -> None:
        del options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write all tensors of the checkpoint into one archive in the folder `out`; return its path.

        Raises:
            UsageError: the folder has no safetensors files.
        """
        files = sorted(checkpoint.glob("*.safetensors"))
        if not files:
            raise UsageError("contains no safetensors files", where=str(checkpoint), hint="Convert or merge the checkpoint first.")
        arrays = {}
        for file in files:
            with safe_open(file, "pt") as tensors:
                for name in sorted(tensors.keys()):
                    tensor = tensors.get_tensor(name)
                    arrays[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        with paths.atomic_folder(out) as aside:
            np.savez(aside / "weights.npz", **arrays)
        return out / "weights.npz"
