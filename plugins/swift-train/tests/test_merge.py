"""swift merge: the adapter goes in, and only a merge that is proved comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_testing.codes import coded
from swift_train import build
from swift_train.merge import merge
from swift_train.testing_adapters import learned_adapter, logits, merge_run, source_of

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry
from swift_core.runs.events import Report


@pytest.fixture
def report(tmp_path):
    (tmp_path / "run").mkdir()
    return Report(tmp_path / "run")


@pytest.mark.parametrize("tuner", ["lora", "dora", "pissa", "lokr", "ia3"])
def test_the_merged_files_answer_as_base_and_adapter(tuner, tiny_model, tmp_path, report):
    learned = learned_adapter(tiny_model, tmp_path / "adapter", tuner)
    out, figures = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)
    loaded = build.load_checkpoint(out, device="cpu")
    torch.testing.assert_close(logits(loaded.model), learned, atol=1e-3, rtol=0)
    assert figures["max_logit_difference"] <= figures["tolerance"] < figures["adapter_effect"]
    assert figures["dtype"] == "float32"
    manifest = Checkpoint.at(out).manifest
    assert manifest.base["hash"] == Checkpoint.at(tiny_model).hash()
    assert (manifest.tuner["name"], manifest.golden[0]["ids"], manifest.template["stop"]) == (tuner, [1, 2], ["<|im_end|>"])
    assert manifest.template["hash"] == "of the adapter"
    written = json.loads((out / "generation_config.json").read_text())
    assert manifest.generation == {name: value for name, value in written.items() if name != "transformers_version"}
    assert {"config.json", "generation_config.json", "chat_template.jinja", "tokenizer.json", "model.safetensors"} <= set(manifest.files)


def test_an_adapter_on_a_base_in_four_bits(tiny_model, tmp_path, report):
    learned = learned_adapter(tiny_model, tmp_path / "adapter", "qlora", quantizer="bnb", dropout=0)
    out, figures = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)
    assert figures["max_logit_difference"] < 1e-3
    merged = build.load_checkpoint(out, device="cpu").model
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    torch.testing.assert_close(logits(merged), learned, atol=1e-3, rtol=0)
    assert (learned - logits(build.load_checkpoint(tiny_model, device="cpu").model)).abs().max() > 0.1


def test_the_worker_has_the_plugin_of_the_base_in_four_bits(tiny_model, tmp_path):
    """A merge runs in a process that loads the plugins of its parts alone."""
    from swift_core.api import resolved

    learned_adapter(tiny_model, tmp_path / "adapter", "qlora", quantizer="bnb", dropout=0)
    run = resolved("merge", {"model": str(tiny_model), "adapter": [str(tmp_path / "adapter")]})
    assert run.parts["quantizer"].plugin == "bnb"
    learned_adapter(tiny_model, tmp_path / "plain")
    assert "quantizer" not in resolved("merge", {"model": str(tiny_model), "adapter": [str(tmp_path / "plain")]}).parts


def test_rounding_is_allowed_for_and_not_more(tiny_model, tmp_path, report):
    learned_adapter(tiny_model, tmp_path / "adapter")
    _, figures = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out", dtype="bfloat16"), report)
    assert 1e-4 < figures["max_logit_difference"] <= figures["tolerance"]
    learned_adapter(tiny_model, tmp_path / "small", size=2e-4)
    with pytest.raises(SwiftError, check=coded("TRAIN-044")) as error:
        merge(merge_run(tiny_model, tmp_path / "small", out=tmp_path / "out2", dtype="bfloat16"), report)
    assert "--dtype float32" in error.value.hint
    assert not (tmp_path / "out2").exists()
    assert not list(tmp_path.glob(".out2*"))
    merge(merge_run(tiny_model, tmp_path / "small", out=tmp_path / "out2", dtype="float32"), report)


def test_a_merge_that_loses_the_adapter_is_refused(tiny_model, tmp_path, report, monkeypatch):
    from swift_plugin_peft.tuner import PeftTuner

    learned_adapter(tiny_model, tmp_path / "adapter")
    monkeypatch.setattr(PeftTuner, "merge", lambda self, model: model.unload())
    with pytest.raises(SwiftError, check=coded("TRAIN-044")):
        merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_changes_nothing(tiny_model, tmp_path, report):
    learned_adapter(tiny_model, tmp_path / "adapter", size=0)
    with pytest.raises(SwiftError, check=coded("TRAIN-043")):
        merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)


def test_another_base_is_refused_unless_allowed(tiny_model, tmp_path, report):
    from swift_testing.rig import write_tiny_model

    other = write_tiny_model(tmp_path / "other", seed=3)
    learned_adapter(tiny_model, tmp_path / "adapter")
    with pytest.raises(UsageError, check=coded("CKPT-039"), match=r"trained on file:.*model.*file:.*other"):
        merge(merge_run(other, tmp_path / "adapter", out=tmp_path / "out"), report)
    merge(merge_run(other, tmp_path / "adapter", out=tmp_path / "out", allow_other_base=True), report)


def test_a_changed_embedding_is_untied_from_the_head(tiny_model, tmp_path, report):
    learned = learned_adapter(tiny_model, tmp_path / "adapter", modules_to_save=["embed_tokens"])
    out, _ = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    torch.testing.assert_close(logits(build.load_checkpoint(out, device="cpu").model), learned, atol=1e-3, rtol=0)


def test_damaged_and_pickled_adapters(tiny_model, tmp_path, report):
    learned_adapter(tiny_model, tmp_path / "adapter")
    cut = Path(shutil.copytree(tmp_path / "adapter", tmp_path / "cut"))
    file = cut / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UsageError, check=coded("CKPT-020"), match="truncated"):
        merge(merge_run(tiny_model, cut, out=tmp_path / "out"), report)
    torch.save(load_file(tmp_path / "adapter" / file.name), cut / "adapter_model.bin")
    file.unlink()
    with pytest.raises(UsageError, check=coded("TUNER-027"), match="pickled"):
        merge(merge_run(tiny_model, cut, out=tmp_path / "out"), report)


def test_a_whole_model_has_nothing_to_merge(tiny_model, tmp_path, report):
    run = Run(verb="merge", job="", model=source_of(tiny_model), options={"output": str(tmp_path / "out")})
    with pytest.raises(UsageError, check=coded("TRAIN-041")):
        merge(run, report)


def test_a_folder_that_only_peft_wrote(tiny_model, tmp_path, report):
    learned_adapter(tiny_model, tmp_path / "adapter", "lokr")
    (tmp_path / "adapter" / "swift.json").unlink()
    merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)


def test_get_model(tiny_model, tmp_path):
    learned = learned_adapter(tiny_model, tmp_path / "adapter")
    options = {"device": "cpu"}
    run = Run(
        verb="load", job="", model=source_of(tiny_model), parts={"tuner": registry().choose("tuner", "lora", {"rank": 2})}, options=options
    )
    model = build.get_model(run)
    assert type(model).__name__ == "PeftModelForCausalLM"
    assert model.processor.chat_template
    assert model.training
    assert all("lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad)

    adapters = {"adapter": source_of(tmp_path / "adapter")}
    model = build.get_model(Run(verb="load", job="", model=source_of(tiny_model), adapters=adapters, options=options))
    assert not model.training
    torch.testing.assert_close(logits(model), learned)

    model = build.get_model(Run(verb="load", job="", model=source_of(tiny_model), adapters=adapters, parts=run.parts, options=options))
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
    learned = {name: learned_adapter(tiny_model, tmp_path / name, size=size) for name, size in (("small", 0.02), ("large", 0.2))}
    model = build.load_checkpoint(tiny_model, device="cpu", adapters={name: tmp_path / name for name in learned}).model
    for name, expected in learned.items():
        model.set_adapter(name)
        torch.testing.assert_close(logits(model), expected)
    tensors = load_file(tmp_path / "small" / "adapter_model.safetensors")
    save_file(dict(list(tensors.items())[1:]), tmp_path / "small" / "adapter_model.safetensors")
    with pytest.raises(UsageError, check=coded("TUNER-013")):
        build.load_checkpoint(tiny_model, device="cpu", adapters={"small": tmp_path / "small"})


def test_several_adapters_go_in_one_after_the_other(tiny_model, tmp_path, report):
    tuners = {"first": "lora", "second": "rslora", "third": "dora"}
    for seed, (name, tuner) in enumerate(tuners.items(), 1):
        learned_adapter(tiny_model, tmp_path / name, tuner, seed=seed)
    both, _ = merge(merge_run(tiny_model, tmp_path / "first", tmp_path / "second", out=tmp_path / "both"), report)
    model = build.load_checkpoint(tiny_model, device="cpu", adapters={name: tmp_path / name for name in ("first", "second")}).model
    model.base_model.set_adapter(["first", "second"])  # PEFT adds the updates of all that are active
    torch.testing.assert_close(logits(build.load_checkpoint(both, device="cpu").model), logits(model), atol=1e-3, rtol=0)

    folders = [tmp_path / name for name in tuners]
    merged = {}
    for order in (folders, folders[::-1]):
        out, figures = merge(merge_run(tiny_model, *order, out=tmp_path / f"from-{order[0].name}"), report)
        merged[order[0].name] = logits(build.load_checkpoint(out, device="cpu").model)
        effects = [each["effect"] for each in Checkpoint.at(out).manifest.tuner["merged"]]
        assert len(effects) == 3
        assert figures["adapter_effect"] == min(effects) > 0.1
    assert (merged["first"] - merged["third"]).abs().max() > 1e-2  # DoRA scales the weights as they are when it goes in


def test_each_of_several_adapters_must_show_and_belong(tiny_model, tmp_path, report):
    from swift_testing.rig import write_tiny_model

    other = write_tiny_model(tmp_path / "other", seed=3)
    learned_adapter(tiny_model, tmp_path / "good")
    learned_adapter(tiny_model, tmp_path / "empty", size=0)
    learned_adapter(other, tmp_path / "foreign")
    learned_adapter(tiny_model, tmp_path / "in-4-bits", quantizer="bnb")
    for name, problem in (
        ("empty", r"the adapter changes nothing.*\n?"),
        ("foreign", "the adapter was trained on file:.*other"),
        ("in-4-bits", r"differently quantized bases \(good: none, in-4-bits: bnb\)"),
    ):
        with pytest.raises(SwiftError, match=problem):
            merge(merge_run(tiny_model, tmp_path / "good", tmp_path / name, out=tmp_path / "out"), report)
        assert not (tmp_path / "out").exists()


def test_one_of_several_that_is_lost_is_found(tiny_model, tmp_path, report, monkeypatch):
    from swift_plugin_peft.tuner import PeftTuner

    for seed, name in enumerate(("first", "second")):
        learned_adapter(tiny_model, tmp_path / name, seed=seed)
    merge_one, calls = PeftTuner.merge, []

    def lose_the_first(self, model):
        calls.append(model)
        return model.unload() if len(calls) == 1 else merge_one(self, model)

    monkeypatch.setattr(PeftTuner, "merge", lose_the_first)
    with pytest.raises(SwiftError, check=coded("TRAIN-044")):
        merge(merge_run(tiny_model, tmp_path / "first", tmp_path / "second", out=tmp_path / "out"), report)


def test_held_out_text_shows_what_the_type_lost(tiny_model, tmp_path, report):
    learned_adapter(tiny_model, tmp_path / "adapter")
    run = merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out", dtype="bfloat16", verify={"tokens": 64, "max_kl": 1e-9})
    with pytest.raises(SwiftError, check=coded("CONVERT-030"), match=r"KL.*1e-09"):
        merge(run, report)
    _, figures = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out", dtype="bfloat16"), report)
    assert 0 < figures["kl"] < 0.02
    assert {"perplexity", "perplexity_before", "top1", "tokens", "bytes", "bytes_before", "load_seconds"} <= set(figures)
    _, figures = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "without", verify=False), report)
    assert "kl" not in figures
