"""`swift quantize`: a checkpoint in fewer bits is there whole and near its source, or not at all; what can't work is refused first."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time

import pytest

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import Stopped, SwiftError, UsageError
from swift_core.options.keywords import settings_of
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.events import Report
from swift_core.runs.local_launcher import CONTROL_PIPE
from swift_core.runs.resolution import resolve
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]

PLUGIN = """
import json

from swift_core import hookimpl
from swift_core.options.model import Options, option
from swift_core.contract.specs import Engine, QuantizerSpec, Ref


class RoundOptions(Options):
    step: float = option(0.02, "Distance of the numbers that weights are rounded to.")
    skip: list[str] = option(list, "Modules to leave as they are.")


class Round:
    def __init__(self, options):
        self.options = options

    def quantize(self, checkpoint, out, calibration):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        out.mkdir()
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and name not in self.options.skip:
                module.weight.data = (module.weight.data / self.options.step).round() * self.options.step
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(checkpoint).save_pretrained(out)
        rows = [json.loads(line)["ids"] for line in calibration.read_text().splitlines()] if calibration else []
        return {"rows": len(rows), "skipped": ", ".join(self.options.skip)}


class Own(Round):
    own_reader = True

    def quantize(self, checkpoint, out, calibration):
        figures = super().quantize(checkpoint, out, calibration)
        (out / "model.safetensors").rename(out / "own.safetensors")
        return figures

    def load(self, checkpoint):
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(checkpoint))
        model.load_state_dict(load_file(checkpoint / "own.safetensors"), strict=False)
        return model.eval()


def spec(name, builds="Round", **more):
    return QuantizerSpec(
        name=name, summary="Rounds weights", factory=Ref(f"rounding:{builds}"), options=Ref("rounding:RoundOptions"), when="offline",
        format="rounded", bits=(8,), **more,
    )


@hookimpl
def swift_quantizers():
    absent = Engine(requirements=("moonshine>=2",))
    return [spec("round"), spec("calibrated", calibrates=True), spec("own", "Own"), spec("absent", engines=(absent,))]
"""
ROWS = [{"messages": [{"role": "user", "content": f"{n} + {n}?"}, {"role": "assistant", "content": f"{2 * n}."}]} for n in range(20)]


@pytest.fixture
def here(tmp_path, tiny_model, monkeypatch, inline_plugin):
    """Resolves a run of the verb as the command does, and does it in this process as a worker does."""
    (tmp_path / "rounding.py").write_text(PLUGIN)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rounding", raising=False)
    import rounding

    inline_plugin(rounding, name="rounding")

    def quantize(quantizer="round", *, model=tiny_model, python="", **options):
        verb = verb_named("quantize")
        given = {"output": "out", "verify": {"tokens": 64}, **options}
        asked = {"model": str(model), "quantizer": quantizer, "device": "cpu", **given}
        run = resolve(verb, settings_of(verb, asked, registry())).run
        if python:
            from dataclasses import replace

            run = replace(run, parts={**run.parts, "quantizer": replace(run.part("quantizer"), python=python)})
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        from swift_core.contract.specs import Ref

        return Ref(run.job).load()(run, Report(folder))

    return quantize


def left(tmp_path):
    return {path.name for path in tmp_path.iterdir()} - {"__pycache__", "rounding.py", "rows.jsonl", "run", "python", "called"}


def test_the_manifest_says_what_was_done_and_what_was_lost(here, tmp_path, tiny_model):
    out, figures = here({"name": "round", "skip": ["q_proj"]})
    manifest = Checkpoint.at(tmp_path / "out").manifest
    assert out.samefile("out")
    assert manifest.figures == figures
    assert 0 < figures["kl"] < 0.1
    assert figures["perplexity"] != figures["perplexity_before"]
    assert 0 < figures["top1"] <= 1
    assert figures["bytes_before"] == sum(path.stat().st_size for path in tiny_model.iterdir())
    assert figures["skipped"] == "lm_head, q_proj"  # what the family leaves out, and what the user does
    assert (manifest.origin, manifest.quantizer["name"], manifest.quantizer["bits"]) == ("quantize", "round", 8)
    assert manifest.base["path"] == str(tiny_model)
    assert manifest.golden
    assert "model.safetensors" in manifest.files


def test_calibration_rows_are_rendered_as_in_training_and_chosen_by_the_seed(here, tmp_path, tiny_model):
    from transformers import AutoTokenizer

    def rows(seed):
        _, figures = here("calibrated", dataset=["rows.jsonl"], calibration={"tokens": 150, "seed": seed}, verify=False, overwrite=True)
        kept = [json.loads(line)["ids"] for line in (tmp_path / "run/calibration.jsonl").read_text().splitlines()]
        assert figures["rows"] == len(kept)
        return kept

    first = rows(1)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rendered = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in ROWS]
    assert {tokenizer.decode(row).strip() for row in first} <= {text.strip() for text in rendered}
    assert 150 <= sum(map(len, first)) < 150 + max(map(len, first))
    assert rows(1) == first
    assert rows(2) != first


def test_a_result_that_is_too_far_off_is_no_result(here, tmp_path):
    with pytest.raises(SwiftError, match=r"too far from its source: .* limit is 0\.1 .*perplexity"):
        here({"name": "round", "step": 3.0})
    assert left(tmp_path) == set()
    here({"name": "round", "step": 3.0}, verify=False)
    assert "kl" not in Checkpoint.at(tmp_path / "out").manifest.figures
    with pytest.raises(SwiftError, match="limit is 1e-09"):
        here(verify={"max_kl": 1e-9, "tokens": 64}, output="other")
    assert left(tmp_path) == {"out"}


def test_held_out_rows_take_the_place_of_the_documentation(here):
    _, figures = here(val_dataset=["rows.jsonl"], verify={"tokens": 100})
    assert 80 < figures["tokens"] < 150
    with pytest.raises(UsageError, match="5,000") as short:
        here(val_dataset=["rows.jsonl"], verify={"tokens": 5000}, overwrite=True)
    assert short.value.where == "verify.tokens"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"quantizer": "calibrated"}, "calibrated needs a calibration set", "--dataset"),
        ({"quantizer": "calibrated", "dataset": ["rows.jsonl"]}, "65,536", "--calibration.tokens"),
        ({"quantizer": "calibrated", "dataset": ["labels.jsonl"]}, "label rows", "--data.columns"),
        ({"quantizer": "absent"}, "absent needs moonshine>=2", "pip install 'moonshine>=2'"),
        ({"quantizer": "ruond"}, "ruond", "Did you mean 'round'?"),
        ({"output": "rows.jsonl"}, "'rows.jsonl' exists", "--overwrite"),
        ({"model": "quantized"}, "is already quantized (gptq)", "the checkpoint that it was made from"),
        ({"model": "adapter"}, "is an adapter", "swift merge"),
        ({"model": "classifier"}, "has the head score:2", "swift export"),
        ({"model": "broken"}, "values that are not finite", "earlier checkpoint"),
    ],
)
def test_what_cant_work_is_refused(here, tmp_path, tiny_model, options, message, hint):  # noqa: PLR0917
    import torch
    from safetensors.torch import load_file, save_file

    (tmp_path / "labels.jsonl").write_text(json.dumps({**ROWS[0], "label": True}) + "\n")
    if (model := options.get("model")) == "adapter":
        (tmp_path / "adapter").mkdir()
        (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model), "peft_type": "LORA"}))
        save_file({"x": torch.zeros(1)}, tmp_path / "adapter/adapter_model.safetensors")
    elif model:
        shutil.copytree(tiny_model, model)
        if model == "quantized":
            config = json.loads((tiny_model / "config.json").read_text())
            (tmp_path / "quantized/config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
        elif model == "classifier":
            config = json.loads((tiny_model / "config.json").read_text()) | {"architectures": ["LlamaForSequenceClassification"]}
            (tmp_path / "classifier/config.json").write_text(json.dumps(config))
        else:
            weights = load_file(tiny_model / "model.safetensors")
            weights["model.norm.weight"][3] = torch.nan
            save_file(weights, tmp_path / "broken/model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError) as refused:
        here(**options)
    assert message in str(refused.value)
    assert hint in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_an_offline_quantizer_is_none_for_loading(here, tiny_model):
    verb = verb_named("sft")
    settings = settings_of(verb, {"model": str(tiny_model), "dataset": ["rows.jsonl"], "quantizer": "round"}, registry())
    with pytest.raises(UsageError, match="round writes a checkpoint, and can't quantize a model while it is loaded"):
        resolve(verb, settings)


def test_an_engine_of_another_environment_works_in_a_worker_there(here, tmp_path, monkeypatch):
    monkeypatch.setenv(CONTROL_PIPE, "1")  # as in a worker that a command has started
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    _, figures = here("calibrated", python=str(python), dataset=["rows.jsonl"], calibration={"tokens": 100})
    assert figures["rows"] > 1
    assert figures["kl"] > 0
    assert "swift_core.runs.worker" in (tmp_path / "called").read_text()
    python.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(SwiftError, match="code 3"):
        here(python=str(python), overwrite=True)
    assert left(tmp_path) == {"out"}
    assert (tmp_path / "out/swift.json").is_file()


@pytest.mark.parametrize("isolated", [False, True])
def test_what_only_the_engine_loads_is_compared_where_the_engine_is(isolated, here, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    figures = here("own", python=str(python) if isolated else "")[1]
    assert (tmp_path / "out/own.safetensors").exists()
    assert figures["load_seconds"] > 0
    same = here("round", output="other")[1]
    assert figures["kl"] == pytest.approx(same["kl"])
    assert figures["max_logit_difference"] == pytest.approx(same["max_logit_difference"])
    assert not isolated or "run/verify" in (tmp_path / "called").read_text()
    assert not list((tmp_path / "run").glob("logits-*"))


def test_a_stop_ends_the_engine_and_leaves_nothing(here, tmp_path, monkeypatch):
    called = f"open({str(tmp_path / 'called')!r}, 'w').close()"
    (tmp_path / "rounding.py").write_text(PLUGIN.replace("import torch\n", f"import time; {called}; time.sleep(3600)\n", 1))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)

    def stop(report):
        wait_for((tmp_path / "called").exists)
        report.request_stop()

    def progress(self, what, *_, **__):
        if what == "quantize":
            threading.Thread(target=stop, args=(self,)).start()

    monkeypatch.setattr(Report, "progress", progress)
    begin = time.monotonic()
    with pytest.raises(Stopped):
        here(python=str(python))
    assert time.monotonic() - begin < 1800, "the engine sleeps for an hour"
    assert left(tmp_path) == set()


def test_from_the_command_line(swift, tmp_path, tiny_model):
    (tmp_path / "rounding.py").write_text(PLUGIN)
    words = ("--plugin", "rounding.py", "quantize", str(tiny_model), "--quantizer", "round", "--step", "0.05", "--device", "cpu")
    done = json.loads(swift(*words, "--verify.tokens", "64", "--output", "out", "--json").out)
    assert done["output"] == str(tmp_path / "out")
    assert done["figures"]["kl"] > 0
    for name in ("run.json", "events.jsonl", "report.html"):
        assert (tmp_path / done["folder"] / name).is_file()
    refused = swift(*words, "--output", "out")
    assert refused.code == 2
    assert "--output: 'out' exists" in refused.err
