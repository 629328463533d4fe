"""swift merge: the adapter goes in, and only a merge that is proved comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_train import build
from swift_train.merge import merge

from swift_core.checkpoint import Manifest, content_hash, read_manifest, write_manifest
from swift_core.errors import SwiftError, UsageError
from swift_core.registry import registry
from swift_core.reporting import Report
from swift_core.run import Run, Source

INPUTS = torch.arange(3, 43).reshape(2, 20)


def source(folder, form="safetensors", family=""):
    return Source(reference=f"file:{folder}", path=str(folder), hash=content_hash(folder), format=form, family=family)


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=INPUTS).logits.float()


def train(base, folder, tuner="lora", size=0.05, quantizer=None, **options):
    """An adapter that has learned something (noise), with a manifest as training writes it. Returns the logits of base + adapter."""
    parts = {"tuner": registry().choose("tuner", tuner, options)}
    if quantizer:
        parts["quantizer"] = registry().choose("quantizer", quantizer)
    run = Run(verb="sft", job="", model=source(base), parts=parts, options={"device": "cpu", "dtype": "float32"})
    loaded, implementation = build.load_base(run), parts["tuner"].build()
    model = build.attach(run, loaded.model, implementation)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and size:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * size)
    implementation.save(model, folder)
    manifest = Manifest(
        kind="adapter",
        base={"reference": f"file:{base}", "hash": content_hash(base), "path": str(base)},
        tuner={"name": tuner, "options": options},
        quantizer={"name": quantizer, "options": {}} if quantizer else {},
        template={"hash": "of the adapter", "stop": ["<|im_end|>"]},
        golden=({"messages": [], "ids": [1, 2]},),
    )
    write_manifest(folder, manifest)
    return logits(model)


def merge_run(base, adapter, out, **options):
    return Run(
        verb="merge",
        job="",
        model=source(base),
        adapters={"adapter": source(adapter, "adapter")},
        options={"device": "cpu", "output": str(out), **options},
    )


@pytest.fixture
def report(tmp_path):
    (tmp_path / "run").mkdir()
    return Report(tmp_path / "run")


@pytest.mark.parametrize("tuner", ["lora", "dora", "pissa", "lokr", "ia3"])
def test_the_merged_files_answer_as_base_and_adapter(tuner, tiny_model, tmp_path, report):
    learned = train(tiny_model, tmp_path / "adapter", tuner)
    out, figures = merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)
    loaded = build.load_checkpoint(out, device="cpu")
    torch.testing.assert_close(logits(loaded.model), learned, atol=1e-3, rtol=0)
    assert figures["max_logit_difference"] <= figures["tolerance"] < figures["adapter_effect"]
    assert figures["dtype"] == "float32"
    manifest = read_manifest(out)
    assert manifest.base["hash"] == content_hash(tiny_model)
    assert (manifest.tuner["name"], manifest.golden[0]["ids"], manifest.template["stop"]) == (tuner, [1, 2], ["<|im_end|>"])
    assert manifest.template["hash"] == "of the adapter"
    written = json.loads((out / "generation_config.json").read_text())
    assert manifest.generation == {name: value for name, value in written.items() if name != "transformers_version"}
    assert {"config.json", "generation_config.json", "chat_template.jinja", "tokenizer.json", "model.safetensors"} <= set(manifest.files)


def test_an_adapter_on_a_base_in_four_bits(tiny_model, tmp_path, report):
    learned = train(tiny_model, tmp_path / "adapter", "qlora", quantizer="bnb", dropout=0)
    out, figures = merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)
    assert figures["max_logit_difference"] < 1e-3
    merged = build.load_checkpoint(out, device="cpu").model
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    torch.testing.assert_close(logits(merged), learned, atol=1e-3, rtol=0)
    assert (learned - logits(build.load_checkpoint(tiny_model, device="cpu").model)).abs().max() > 0.1


def test_rounding_is_allowed_for_and_not_more(tiny_model, tmp_path, report):
    train(tiny_model, tmp_path / "adapter")
    _, figures = merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out", dtype="bfloat16"), report)
    assert 1e-4 < figures["max_logit_difference"] <= figures["tolerance"]
    train(tiny_model, tmp_path / "small", size=2e-4)
    with pytest.raises(SwiftError, match="does not answer as base \\+ adapter") as error:
        merge(merge_run(tiny_model, tmp_path / "small", tmp_path / "out2", dtype="bfloat16"), report)
    assert "--dtype float32" in error.value.hint
    assert not (tmp_path / "out2").exists()
    assert not list(tmp_path.glob(".out2*"))
    merge(merge_run(tiny_model, tmp_path / "small", tmp_path / "out2", dtype="float32"), report)


def test_a_merge_that_loses_the_adapter_is_refused(tiny_model, tmp_path, report, monkeypatch):
    from swift_plugin_peft.tuner import PeftTuner

    train(tiny_model, tmp_path / "adapter")
    monkeypatch.setattr(PeftTuner, "merge", lambda self, model: model.unload())
    with pytest.raises(SwiftError, match="does not answer as base \\+ adapter"):
        merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_changes_nothing(tiny_model, tmp_path, report):
    train(tiny_model, tmp_path / "adapter", size=0)
    with pytest.raises(SwiftError, match="the adapter changes nothing"):
        merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)


def test_another_base_is_refused_unless_allowed(tiny_model, tmp_path, report):
    from swift_core.testing.rig import write_tiny_model

    other = write_tiny_model(tmp_path / "other", seed=3)
    train(tiny_model, tmp_path / "adapter")
    with pytest.raises(UsageError, match=r"the adapter was trained on file:.*and this base is file:.*other"):
        merge(merge_run(other, tmp_path / "adapter", tmp_path / "out"), report)
    merge(merge_run(other, tmp_path / "adapter", tmp_path / "out", allow_other_base=True), report)


def test_a_changed_embedding_comes_apart_from_the_head(tiny_model, tmp_path, report):
    learned = train(tiny_model, tmp_path / "adapter", modules_to_save=["embed_tokens"])
    out, _ = merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    torch.testing.assert_close(logits(build.load_checkpoint(out, device="cpu").model), learned, atol=1e-3, rtol=0)


def test_damaged_and_pickled_adapters(tiny_model, tmp_path, report):
    train(tiny_model, tmp_path / "adapter")
    cut = Path(shutil.copytree(tmp_path / "adapter", tmp_path / "cut"))
    file = cut / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UsageError, match="truncated"):
        merge(merge_run(tiny_model, cut, tmp_path / "out"), report)
    torch.save(load_file(tmp_path / "adapter" / file.name), cut / "adapter_model.bin")
    file.unlink()
    with pytest.raises(UsageError, match="pickled"):
        merge(merge_run(tiny_model, cut, tmp_path / "out"), report)


def test_a_whole_model_has_nothing_to_merge(tiny_model, tmp_path, report):
    run = Run(verb="merge", job="", model=source(tiny_model), options={"output": str(tmp_path / "out")})
    with pytest.raises(UsageError, match="nothing to merge"):
        merge(run, report)


def test_a_folder_that_only_peft_wrote(tiny_model, tmp_path, report):
    train(tiny_model, tmp_path / "adapter", "lokr")
    (tmp_path / "adapter" / "swift.json").unlink()
    merge(merge_run(tiny_model, tmp_path / "adapter", tmp_path / "out"), report)


def test_get_model(tiny_model, tmp_path):
    learned = train(tiny_model, tmp_path / "adapter")
    options = {"device": "cpu"}
    run = Run(
        verb="load", job="", model=source(tiny_model), parts={"tuner": registry().choose("tuner", "lora", {"rank": 2})}, options=options
    )
    model = build.get_model(run)
    assert type(model).__name__ == "PeftModelForCausalLM"
    assert model.processor.chat_template
    assert model.training
    assert all("lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad)

    adapters = {"adapter": source(tmp_path / "adapter", "adapter")}
    model = build.get_model(Run(verb="load", job="", model=source(tiny_model), adapters=adapters, options=options))
    assert not model.training
    torch.testing.assert_close(logits(model), learned)

    model = build.get_model(Run(verb="load", job="", model=source(tiny_model), adapters=adapters, parts=run.parts, options=options))
    assert any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(logits(model), learned)


def test_the_base_is_named_as_others_find_it(tiny_model, tmp_path):
    run = Run(
        verb="load", job="", parts={"tuner": registry().choose("tuner", "lora")}, options={"device": "cpu"},
        model=Source(reference="hf:org/name@abc", path=str(tiny_model), hash="", format="safetensors", family=""),
    )  # fmt: skip
    run.parts["tuner"].build().save(build.get_model(run), tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/name"


def test_adapters_by_name(tiny_model, tmp_path):
    learned = {name: train(tiny_model, tmp_path / name, size=size) for name, size in (("small", 0.02), ("large", 0.2))}
    model = build.load_checkpoint(tiny_model, device="cpu", adapters={name: tmp_path / name for name in learned}).model
    for name, expected in learned.items():
        model.set_adapter(name)
        torch.testing.assert_close(logits(model), expected)
    tensors = load_file(tmp_path / "small" / "adapter_model.safetensors")
    save_file(dict(list(tensors.items())[1:]), tmp_path / "small" / "adapter_model.safetensors")
    with pytest.raises(UsageError, match="does not fit the base"):
        build.load_checkpoint(tiny_model, device="cpu", adapters={"small": tmp_path / "small"})
