"""What is known of a machine's device without torch."""

from __future__ import annotations

from swift_train import strategy_checks


def test_a_device_that_a_distribution_brings_to_torch_is_unknown_without_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(strategy_checks, "device_kind", lambda: "cpu")
    assert strategy_checks.kind_of("auto") == "cpu"
    info = tmp_path / "torch_vendor-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-vendor\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[torch.backends]\nvendor = torch_vendor:load\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert strategy_checks.kind_of("auto") == ""
    assert strategy_checks.kind_of("cpu") == "cpu"
    monkeypatch.setattr(strategy_checks, "device_kind", lambda: "cuda")
    assert strategy_checks.kind_of("auto") == "cuda"
