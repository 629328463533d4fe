"""Importance matrices of tiny models, compared with activations recorded by PyTorch hooks and with the router's choices."""

from __future__ import annotations

from dataclasses import asdict

import gguf
import numpy as np
import pytest
import torch
import transformers
from swift_convert import export
from swift_convert.options import CalibrationOptions
from swift_plugin_gguf.activation_stats import ActivationStats
from swift_plugin_gguf.imatrix import ImatrixExporter
from swift_testing.rig import tiny_tokenizer
from swift_train.build import source_of
from swift_train.testing import ragged_chats, write_rows

import swift_core as api
from swift_core.contract.errors import UsageError
from swift_core.contract.run import DataChoice, Run
from swift_core.plugins.registered import registry
from swift_core.runs.events import Report

pytestmark = pytest.mark.usefixtures("warm_workers")

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": True}


def matrix(file):
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}


def random_model(kind, folder, **values):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES, vocab_size=len(tokenizer), **values)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


@pytest.mark.slow
def test_the_file_has_statistics_of_every_weight(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ragged_chats(8))
    done = api.export(tiny_model, "imatrix", dataset=["rows.jsonl"], calibration={"tokens": 200}, output="out")
    assert "verified" not in done.figures, "an importance matrix makes no predictions"
    reader = gguf.GGUFReader(done.output)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    assert (done.output.name, keys["general.type"], keys["imatrix.datasets"]) == ("imatrix.gguf", "imatrix", ["rows.jsonl"])
    found = matrix(done.output)
    tokens = found["blk.0.attn_q.weight.counts"].item()
    assert tokens >= 200
    assert all(value == tokens for name, value in found.items() if name.endswith("counts"))
    np.testing.assert_array_equal(found["blk.1.ffn_gate.weight.in_sum2"], found["blk.1.ffn_up.weight.in_sum2"])
    assert {name.split(".", 2)[2] for name in found if name.startswith("blk.1.")} == {
        f"{part}.weight.{half}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        for half in ("in_sum2", "counts")
    }


def test_the_sums_match_recorded_activations(tmp_path):
    model = random_model("llama", tmp_path)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda module, args, name=name: seen.setdefault(name, []).append(args[0].detach()))
    stats = ActivationStats(model, lambda name: name)
    with torch.no_grad(), stats:
        for length in (7, 12):
            model(input_ids=torch.arange(length)[None])
    for name, rows in seen.items():
        expected = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows]).square().sum(0)
        torch.testing.assert_close(stats.sums[f"{name}.weight"][0], expected)
        assert stats.counts[f"{name}.weight"].item() == 19


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral"])
def test_experts_have_separate_statistics(kind, tmp_path, monkeypatch):
    """The inputs of each expert, from the router's choice and computed by hand."""
    model = random_model(kind, tmp_path / "model", **EXPERTS)
    rows = [np.arange(3, 40), np.arange(60, 5, -1).copy()]
    monkeypatch.setattr("swift_plugin_gguf.imatrix.calibration_rows", lambda *_, **__: rows)
    asked = {"calibration": CalibrationOptions().model_dump(), "dtype": "float32", "device": "cpu"}
    exporter = ImatrixExporter()
    exporter.calibrate(Run(verb="export", job="", model=source_of(tmp_path / "model"), options=asked), Report(tmp_path))
    found = matrix(exporter.export(tmp_path / "model", tmp_path / "out"))
    sent = []
    experts = model.model.layers[1].mlp.experts
    experts.register_forward_pre_hook(lambda module, args: sent.append(args))
    with torch.no_grad():
        for row in rows:
            model(input_ids=torch.tensor(row)[None])
    for expert in range(4):
        states = torch.cat([states[(index == expert).any(-1)] for states, index, _ in sent])
        gate, up = (states @ experts.gate_up_proj[expert].T).chunk(2, -1)
        down = torch.nn.functional.silu(gate) * up
        for part, expected in (("ffn_gate_exps", states), ("ffn_up_exps", states), ("ffn_down_exps", down)):
            assert found[f"blk.1.{part}.weight.counts"][expert] == len(states)
            sums = expected.square().sum(0).detach().numpy()
            np.testing.assert_allclose(found[f"blk.1.{part}.weight.in_sum2"][expert], sums, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_too_few_calibration_rows_are_rejected(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="imatrix needs a calibration set"):
        api.export(tiny_model, "imatrix", output="out")
    with pytest.raises(UsageError, match="no calibration rows"):
        ImatrixExporter().export(tiny_model, tmp_path / "out")
    write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    with pytest.raises(UsageError, match="tokens") as few:
        api.export(tiny_model, "imatrix", dataset=["rows.jsonl"], output="out")
    assert "--calibration.tokens" in few.value.hint
    assert not (tmp_path / "out").exists()


def test_rows_for_an_exporter_that_has_no_use_for_them_are_noted(tiny_model):
    known = registry()
    rows = DataChoice(**asdict(known.choose("dataset", "identity", {"model_name": "Moon", "model_author": "The Tides"})), asked="identity")
    run = Run(
        verb="export", job="", model=source_of(tiny_model), parts={"exporter": known.choose("exporter", "gguf", {})}, datasets=(rows,)
    )
    (problem,) = export.problems(run, known)
    assert not problem.fatal
    assert "the rows are ignored" in problem.message
