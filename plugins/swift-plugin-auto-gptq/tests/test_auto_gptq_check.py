"""AutoGPTQ without CUDA is rejected before anything is loaded, and the hint names its successors."""

from __future__ import annotations

import json

import pytest
import swift_plugin_auto_gptq

from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run
from swift_core.plugins import engines
from swift_core.plugins.registered import registry


def run_with(name):
    return Run(verb="quantize", job="", parts={"quantizer": registry().choose("quantizer", name, {})})


@pytest.mark.parametrize(("device", "refused"), [("cpu", True), ("mps", True), ("cuda", False)])
def test_a_machine_without_cuda_is_rejected(device, refused, monkeypatch):
    monkeypatch.setattr(engines, "device_kind", lambda: device)
    found = list(swift_plugin_auto_gptq.swift_check(run_with("auto-gptq")))
    assert bool(found) == refused
    if refused:
        assert device in found[0].message
        assert "--quantizer gptq" in found[0].hint


def test_other_quantizers_are_left_alone(monkeypatch):
    monkeypatch.setattr(engines, "device_kind", lambda: "cpu")
    assert list(swift_plugin_auto_gptq.swift_check(run_with("gptq"))) == []


@pytest.mark.slow
def test_the_engine_checks_for_cuda_too(tiny_model, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"ids": [1, 2, 3]}) + "\n")
    quantizer = registry().choose("quantizer", "auto-gptq", {"group_size": 32}).build()
    with pytest.raises(UsageError, match="AutoGPTQ needs CUDA"):
        quantizer.quantize(tiny_model, tmp_path / "out", rows)
    assert not (tmp_path / "out").exists()
