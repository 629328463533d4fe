"""Export to OpenVINO IR through `optimum-cli export openvino`, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from swift_formats.files import copy_licence

from swift_core.checkpoints import Checkpoint
from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder
from swift_plugin_openvino.export_options import OpenvinoExportOptions

if TYPE_CHECKING:
    from swift_plugin_openvino.ir_model import IrModel

MAX_KL = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.1, "int4": 1.0}
"""Maximum mean KL divergence from the checkpoint by type, in nats per token; more means that the result is broken."""


class OpenvinoExporter:
    """The `openvino-ir` exporter: a folder in OpenVINO IR with the tokenizer, for the openvino backend."""

    def __init__(self, options: OpenvinoExportOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the folder `out`, and return it.

        Raises:
            UsageError: this is not a safetensors checkpoint, or it is quantized.
            SwiftError: optimum failed.
        """
        if (found := Checkpoint.at(checkpoint).format) != "safetensors":
            raise UsageError(
                f"expected a safetensors checkpoint, found {found}",
                code="EXPORT-002",
                where=str(checkpoint),
                hint="Merge or convert it first.",
            )
        if Checkpoint.at(checkpoint).quantization:
            raise UsageError(
                "the checkpoint is already quantized", code="EXPORT-003", where=str(checkpoint), hint="Export the full-precision model."
            )
        with atomic_folder(out) as folder:
            done = subprocess.run(self._command(checkpoint, folder), stderr=subprocess.PIPE, text=True, check=False, env=_offline())
            sys.stderr.write(done.stderr)
            if done.returncode or not (folder / "openvino_model.xml").is_file():
                last = (done.stderr.strip().splitlines() or ["no output"])[-1]
                raise SwiftError(
                    f"optimum failed: {last}", code="EXPORT-004", where=str(checkpoint), hint="See engine/log.txt in the run folder."
                )
            copy_licence(checkpoint, folder)
        return out

    @property
    def max_kl(self) -> float:
        """Maximum mean KL divergence from the checkpoint, in nats per token."""
        return MAX_KL[self._options.type]

    def load(self, exported: Path) -> IrModel:
        """Load the folder in OpenVINO for verification."""
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
