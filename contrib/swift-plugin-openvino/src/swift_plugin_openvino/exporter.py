"""`optimum-cli export openvino` in an environment of its own, which has other versions than everything else and no torchvision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.checkpoints.manifest import checkpoint_format, copy_licence, quantization_of, read_config
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.system.paths import atomic_folder
from swift_plugin_openvino.export_options import OpenvinoExportOptions

if TYPE_CHECKING:
    from swift_plugin_openvino.ir_model import IrModel

MAX_KL = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.1, "int4": 1.0}
"""By type: the divergence, in nats a token, past which a result is broken rather than merely coarser."""


class OpenvinoExporter:
    """Writes OpenVINO's own format, tokenizer included, which the openvino backend serves."""

    def __init__(self, options: OpenvinoExportOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the folder `out`, and return it.

        Raises:
            UsageError: no safetensors checkpoint, or a quantized one.
            SwiftError: optimum failed.
        """
        if (found := checkpoint_format(checkpoint)) != "safetensors":
            raise UsageError(f"this is {found}", where=str(checkpoint), hint="OpenVINO's format is made of safetensors checkpoints.")
        if quantization_of(read_config(checkpoint)):
            raise UsageError("the checkpoint is quantized already", where=str(checkpoint), hint="Export the full-precision model.")
        with atomic_folder(out) as folder:
            done = subprocess.run(self._command(checkpoint, folder), stderr=subprocess.PIPE, text=True, check=False, env=_offline())
            sys.stderr.write(done.stderr)
            if done.returncode or not (folder / "openvino_model.xml").is_file():
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                hint = "apart/log.txt in the run folder has all it said."
                raise SwiftError(f"optimum could not export it: {last}", where=str(checkpoint), hint=hint)
            copy_licence(checkpoint, folder)
        return out

    @property
    def max_kl(self) -> float:
        """Nats a token that the type may lose."""
        return MAX_KL[self._options.type]

    def load(self, exported: Path) -> IrModel:
        """Load the folder in OpenVINO."""
        from swift_plugin_openvino.ir_model import IrModel

        return IrModel(exported)

    def _command(self, checkpoint: Path, folder: Path) -> list[str]:
        options = self._options
        more = ["--group-size", str(options.group_size)] if options.type == "int4" else []
        words = ["export", "openvino", "--model", str(checkpoint.absolute()), "--task", "text-generation-with-past"]
        program = [sys.executable, "-c", "import sys; from optimum.commands.optimum_cli import main; sys.exit(main())"]
        return [*program, *words, "--weight-format", options.type, *more, str(folder)]


def _offline() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
