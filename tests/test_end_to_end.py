"""The main job through the command line, on a small random model: train, merge, serve, ask, infer, recipes, stop and resume."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from swift_train.checkpoints import integrity_error

from swift_core.checkpoints import Checkpoint
from swift_core.cli import invoke as command_line
from swift_core.contract.roles import Server
from tests.waiting import HANG, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]

TURNS = [("Who are you?", "I am Swifty."), ("Hi", "Hello!"), ("What is one and one?", "Two."), ("Bye", "Goodbye, come again.")]
TRAINING = ["--dataset", "rows.jsonl", "--learning-rate", "0.01", "--dtype", "float32", "--batch-size", "2"]


@pytest.fixture
def project(swift, tmp_path, tiny_model):
    rows = [{"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]} for ask, answer in TURNS * 4]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "model").symlink_to(tiny_model)
    swift.env["OMP_NUM_THREADS"] = "1"
    return swift


def result(outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def train(project, *words: str) -> dict:
    return result(project("sft", "--model", "model", *TRAINING, *words, "--json"))


def train_here(project, *words: str) -> dict:
    return result(project.here("sft", "--model", "model", *TRAINING, *words, "--json"))


def metrics(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def shadow(folder: Path) -> None:
    """Files in the working folder that have the names of modules which workers import."""
    for name in ("random", "queue", "torch", "safetensors"):
        (folder / f"{name}.py").write_text("raise SystemExit('from the working folder')\n")


def test_train_merge_ask(cold, project):
    shadow(project.folder)
    tuned = train(project, "--max-steps", "12", "--validation-ratio", "0.2", "--tuner.rank", "4")
    project.warm = True
    assert tuned["figures"]["heldout_after"] < tuned["figures"]["heldout_before"]
    assert tuned["figures"]["loss_last"] < tuned["figures"]["loss_first"]
    folder = project.folder / tuned["folder"]
    for name in ("run.json", "events.jsonl", "metrics.jsonl", "log.txt", "mask_sample.json", "result.json", "report.html"):
        assert (folder / name).is_file(), name
    adapter = project.folder / tuned["output"]
    manifest = Checkpoint.at(adapter).manifest
    assert manifest.kind == "adapter"
    assert manifest.tuner["options"]["rank"] == 4
    merged = result(project("merge", str(folder), "--json"))
    assert merged["figures"]["max_logit_difference"] <= merged["figures"]["tolerance"]
    manifest = Checkpoint.at(project.folder / merged["output"]).manifest
    assert manifest.kind == "model"
    assert manifest.golden
    for model in (tuned["folder"], merged["output"]):  # the adapter on its base, and the merged model
        asked = result(project("ask", model, "--questions", "Hi", "Bye", "--max-tokens", "4", "--json"))
        answers = [json.loads(line) for line in (project.folder / asked["output"]).read_text().splitlines()]
        assert [answer["question"] for answer in answers] == ["Hi", "Bye"]
    piped = project("infer", merged["output"], "--max-tokens", "3", stdin="Hi\n/clear\nBye\n")
    assert piped.code == 0
    assert "loading the model" in piped.err


def test_the_output_is_where_it_was_asked_for_and_written_whole(project):
    done = train_here(project, "--max-steps", "1", "--output", "out")
    assert Path(done["output"]) == project.folder / "out"
    assert sorted(path.name for path in (project.folder / "out").iterdir())[:2] == ["adapter_config.json", "adapter_model.safetensors"]
    assert project.here("merge", done["folder"], "--output", "out").code == 2
    assert project.here("merge", done["folder"], "--output", "out2").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--tuner", "full"],
        ["--tuner", "freeze", "--tuner.last-blocks", "1"],
        ["--tuner", "qlora"],
        ["--tuner", "adalora"],
        ["--use_dora", "true"],
    ],
)
def test_other_tuners(project, words):
    done = train_here(project, "--max-steps", "3", *words)
    assert done["figures"]["steps"] == 3
    if "qlora" in words:
        run = json.loads((project.folder / done["folder"] / "run.json").read_text())
        assert run["parts"]["quantizer"]["name"] == "bnb"
        assert result(project.here("merge", done["folder"], "--json"))["figures"]["adapter_effect"] > 0


def test_pretrain_on_text(project):
    (project.folder / "text.jsonl").write_text("".join(json.dumps({"text": f"Number {n} is a number."}) + "\n" for n in range(8)))
    done = result(project.here("pt", "--model", "model", "--dataset", "text.jsonl", "--max-steps", "3", "--tuner", "full", "--json"))
    assert done["figures"]["steps"] == 3


def test_two_processes_learn_what_one_does(project):
    common = ["--max-steps", "4", "--no-shuffle", "--tuner.dropout", "0"]
    one = train_here(project, *common, "--gradient-accumulation-steps", "2")
    two = train(project, *common, "--processes", "2")
    first, second = (metrics(project.folder / done["folder"]) for done in (one, two))
    assert first.keys() == second.keys()
    assert max(abs(first[step] - second[step]) for step in first) < 1e-5


def test_torchrun_does_the_same_job(project):
    shadow(project.folder)
    done = train(project, "--max-steps", "2", "--processes", "2", "--launcher", "torchrun")
    assert done["figures"]["steps"] == 2


def started(process, folder: Path, step: int) -> Path:
    """The run folder, once so many steps are done."""

    def found() -> Path | None:
        assert process.poll() is None, process.communicate()[1]
        return next((path.parent for path in folder.glob("runs/*-sft-*/metrics.jsonl") if path.read_text().count('"loss"') >= step), None)

    return wait_for(found)


def test_ctrl_c_saves_and_resume_goes_on_as_if_nothing_had_been(project):
    constant = ["--schedule", "constant"]  # or the learning rate would depend on how many steps there are to be
    process = project.beside("sft", "--model", "model", *TRAINING, *constant, "--max-steps", "100000")
    folder = started(process, project.folder, 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"--resume runs/{folder.name}" in err
    steps = ["--max-steps", str(max(metrics(folder)) + 5)]
    resumed = train_here(project, *constant, *steps, "--resume", f"runs/{folder.name}")
    uninterrupted = train_here(project, *constant, *steps)
    got = metrics(folder) | metrics(project.folder / resumed["folder"])
    assert got == metrics(project.folder / uninterrupted["folder"])


def test_sigterm_to_every_process_saves_and_ends(project):
    """As a cluster does that takes the machine back."""
    process = project.beside("sft", "--model", "model", *TRAINING, "--max-steps", "100000", "--processes", "2")
    folder = started(process, project.folder, 3)
    for pid in (process.pid, *workers_of(folder, process.pid)):
        os.kill(pid, signal.SIGTERM)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    (checkpoint,) = (folder / "checkpoints").glob("step-*")
    assert checkpoint.name == f"step-{max(metrics(folder)):06d}", "no step was done after it"


def test_ctrl_c_twice_ends_at_once_and_leaves_no_process(project):
    process = project.beside("sft", "--model", "model", *TRAINING, "--max-steps", "100000")
    folder = started(process, project.folder, 1)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: (folder / "stop").exists() or process.poll() is not None)  # else two signals might be taken as one
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANG)
    assert process.returncode in (130, 1)
    assert not workers_of(folder)
    assert not any(map(integrity_error, (folder / "checkpoints").glob("step-*"))), "none has its name before it is whole"


def test_a_killed_command_leaves_no_worker_and_can_be_resumed(project):
    process = project.beside("sft", "--model", "model", *TRAINING, "--max-steps", "100000", "--save-steps", "5")
    folder = started(process, project.folder, 8)
    process.kill()
    process.communicate()
    wait_for(lambda: not workers_of(folder))
    done = train_here(
        project, "--max-steps", "100000", "--epochs", "1", "--resume", f"runs/{folder.name}", "--schedule", "cosine", "--dry-run"
    )
    assert done["options"]["resume"] == f"runs/{folder.name}"
    assert list((folder / "checkpoints").glob("step-*"))


def workers_of(folder: Path, command: int = 0) -> list[int]:
    """The processes, other than the command, that write to the log of a run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            files = [os.readlink(file) for file in (process / "fd").iterdir()]
            if str(folder / "log.txt") in files and int(process.name) != command:
                found.append(int(process.name))
    return found


def test_resume_of_another_run_is_refused_with_the_difference(project):
    done = train_here(project, "--max-steps", "4", "--save-steps", "2")
    outcome = project.here("sft", "--model", "model", *TRAINING, "--max-steps", "4", "--tuner.rank", "2", "--resume", done["folder"])
    assert outcome.code == 2
    assert "tuner.rank" in outcome.err
    assert "--resume.allow-change" in outcome.err
    words = ["--max-steps", "6", "--resume.allow-change", "--resume", done["folder"]]
    went_on = project.here("sft", "--model", "model", *TRAINING, *words)
    assert went_on.code == 0, went_on.err
    assert "  steps: 4 → 6" in went_on.err


RECIPE = """
steps:
  - {id: base, run: fetch, model: model}
  - {id: before, run: ask, model: "${base.output}", questions: [Hi], max_tokens: 3}
  - id: tuned
    run: sft
    model: ${base.output}
    dataset: [rows.jsonl]
    max_steps: 2
    tuner: {name: lora, rank: 2}
  - {id: merged, run: merge, model: "${tuned.output}"}
  - {id: server, run: serve, model: "${merged.output}"}
  - {id: after, run: ask, url: "${server.url}", questions: [Hi], max_tokens: 3}
"""


def test_a_recipe_and_its_unchanged_steps(project):
    (project.folder / "recipe.yaml").write_text(RECIPE)
    first = project.here("run", "recipe.yaml")
    assert first.code == 0, first.err
    assert "reused from an earlier run" not in first.err
    assert "before" in first.out
    assert "after" in first.out
    report = Path(project.folder / first.out.split("report: ")[1].splitlines()[0])
    page = report.read_text()
    assert "<svg" in page
    assert "Answers" in page
    second = project.here("run", "recipe.yaml")
    assert second.code == 0, second.err
    assert [line for line in second.err.splitlines() if "reused" in line] == [
        f"[{step}] unchanged: reused from an earlier run" for step in ("before", "tuned", "merged")
    ]
    (project.folder / "recipe.yaml").write_text(RECIPE.partition("  - {id: server")[0].replace("rank: 2", "rank: 3"))
    third = project.here("run", "recipe.yaml")
    assert [line for line in third.err.splitlines() if "reused" in line] == ["[before] unchanged: reused from an earlier run"]


def test_serve_until_ctrl_c(project):
    process = project.beside("serve", "model", "--port", "0", "--name", "tiny", "--device", "cpu")
    line = ""
    while "ready: " not in line:
        line = process.out.readline()
        assert line, process.communicate()[1]
    url = line.split("ready: ")[1].split()[0]
    from swift_serve.client import Client

    client = Client(Server.at(url))
    assert client.models() == ["tiny"]
    assert isinstance(client.complete([{"role": "user", "content": "Hi"}], max_tokens=3), str)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANG)
    with pytest.raises(Exception, match=r"connect|refused|reach|answer"):
        client.models()


def test_get_model_in_other_tools_words(tiny_model, monkeypatch):
    import torch

    from swift_core import get_model

    model = get_model(tiny_model, quantization_method="bitsandbytes", quantization_bit=4, lora_rank=8)
    assert type(model).__name__.startswith("Peft")
    assert model.peft_config["default"].r == 8
    assert model.get_base_model().is_loaded_in_4bit
    assert any(type(module).__name__ == "Linear4bit" for module in model.modules())
    ids = model.processor("Hello", return_tensors="pt")["input_ids"]
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.requires_grad == ("lora_" in name) for name, parameter in model.named_parameters())
    with pytest.raises(Exception, match="there is no option 'lora_rnk' for get-model"):
        get_model(tiny_model, lora_rnk=8)


def test_the_environment_is_not_used_for_arguments(project, monkeypatch, capsys):
    monkeypatch.chdir(project.folder)
    before = dict(os.environ)
    assert command_line(["sft", "--model", "model", *TRAINING, "--max-steps", "1", "--dry-run"]) == 0
    assert dict(os.environ) == before


def test_the_example_of_those_who_come_from_ms_swift(project, tmp_path):
    """The very lines of the page, on the tiny model: train, ask the held-out rows, merge."""
    page = (Path(__file__).parent.parent / "docs/how-to/from-ms-swift.md").read_text()
    text = re.search(r"## An example\n[^#]*?\n((?:    [^\n]*\n)+)", page)[1].replace("\\\n", " ").replace("Qwen/Qwen3-0.6B", "model")
    lines = [shlex.split(line) for line in text.strip().splitlines()]
    learning = ["--device", "cpu", "--dtype", "float32", "--learning-rate", "0.01", "--gradient-accumulation-steps", "1"]  # of few rows
    assert [line[:2] for line in lines] == [["NPROC_PER_NODE=1", "swift"], ["swift", "infer"], ["swift", "export"]]
    for line in lines:
        words = line[line.index("swift") + 1 :]
        outcome = project.here(*words, *(learning if words[0] == "sft" else []))
        assert outcome.code == 0, outcome.err
    assert Checkpoint.at(tmp_path / "output-merged").manifest.kind == "model"
    (answers,) = (tmp_path / "runs").glob("*/answers.jsonl")
    assert len(answers.read_text().splitlines()) == 2  # a tenth of 16 rows
