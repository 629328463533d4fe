"""Checkpoints for the conformance kit: an adapter, a GGUF file and an ONNX graph, as small as they can be."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from swift_formats.weights import ADAPTER


def write_adapter(source: Path, folder: Path) -> None:
    """Write an adapter with one tensor."""
    header = json.dumps({"lora_A.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / ADAPTER).write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(source)}), encoding="utf-8")


def write_gguf(source: Path, folder: Path) -> None:
    """Write a GGUF file without tensors."""
    (folder / "model.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))


def write_onnx(source: Path, folder: Path) -> None:
    """Write the files of an ONNX model with external data."""
    (folder / "model.onnx").write_bytes(b"\x08\x0a")
    (folder / "model.onnx.data").write_bytes(b"\0" * 4)


EXAMPLES = {
    "adapter": {"checkpoint": write_adapter},
    "gguf": {"checkpoint": write_gguf},
    "onnx": {"checkpoint": write_onnx},
}
