"""Checkpoints that the exporter rejects; the export itself, and serving: `make test-full LANE=export`, after `swift env create` of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_plugin_openvino.export_options import OpenvinoExportOptions
from swift_plugin_openvino.exporter import OpenvinoExporter
from swift_serve import chat
from swift_testing.codes import coded
from swift_testing.serving import SwiftServe

import swift_core as api
from swift_core.contract.errors import UsageError

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


def test_unsupported_checkpoints_are_rejected(tiny_model: Path, tmp_path: Path) -> None:
    exporter = OpenvinoExporter(OpenvinoExportOptions())
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "model.gguf").touch()
    with pytest.raises(UsageError, check=coded("EXPORT-002"), match="found gguf"):
        exporter.export(tmp_path / "gguf", tmp_path / "out")
    (tmp_path / "packed").mkdir()
    config = json.loads((tiny_model / "config.json").read_text())
    (tmp_path / "packed" / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "awq"}}))
    (tmp_path / "packed" / "model.safetensors").touch()
    with pytest.raises(UsageError, check=coded("EXPORT-003")):
        exporter.export(tmp_path / "packed", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.full("export")
def test_smollm2_is_exported_and_served(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = api.export(smollm2, "openvino-ir", type="int8", output="out")
    assert done.output
    assert done.figures["verified"]
    assert done.figures["kl"] < 0.05
    assert done.figures["bytes"] < 0.75 * done.figures["bytes_before"]
    words = ["out", "--backend", "openvino", "--cache-gib", "1", "--name", "base"]
    with SwiftServe(tmp_path, *words) as server:  # which compares the golden tokens
        assert "Paris" in chat(server.server, FRANCE, temperature=0, max_tokens=24)
