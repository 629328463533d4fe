"""Jobs on a device that is neither a CPU nor a GPU: what assumes one of them fails here. See `tests/accelerator`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.full("accelerator"), pytest.mark.usefixtures("workers_here")]

TURNS = [("Who are you?", "I am Swifty."), ("Hi", "Hello!"), ("What is one and one?", "Two."), ("Bye", "Goodbye, come again.")]
PAIRS = [{"prompt": ask, "chosen": answer, "rejected": TURNS[at - 1][1]} for at, (ask, answer) in enumerate(TURNS)]
TRAINING = ["--model", "model", "--learning-rate", "0.01", "--batch-size", "2", "--no-shuffle", "--schedule", "constant", "--json"]
PLAIN = ["--tuner.dropout", "0", "--max-steps", "4"]


@pytest.fixture(scope="module")
def device(kept: Path, tmp_path_factory: pytest.TempPathFactory):
    """The device, in this process and in those that it starts."""
    from tests.accelerator.build import built, laid

    folder = laid(built(kept), tmp_path_factory.mktemp("device"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
        patch.setenv("OMP_NUM_THREADS", "1")
        sys.path.insert(0, str(folder))
        import swift_sim

        swift_sim.load()
        yield "sim"


@pytest.fixture
def project(swift, tmp_path, tiny_model, device):
    rows = [{"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]} for ask, answer in TURNS * 4]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS * 3))
    (tmp_path / "model").symlink_to(tiny_model)
    swift.env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return swift


def result(outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def train(project, *words: str, verb: str = "sft", rows: str = "rows.jsonl") -> dict:
    return result(project.here(verb, *TRAINING, "--dataset", rows, *words))


def losses(project, done: dict) -> list[float]:
    lines = [json.loads(line) for line in (project.folder / done["folder"] / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def record(project, done: dict) -> dict:
    return json.loads((project.folder / done["folder"] / "parallel.json").read_text())


def test_operands_on_other_devices_are_refused_and_random_numbers_are_the_devices_own(device):
    import torch

    there = torch.ones(4, device=device)
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(4)
    with pytest.raises(RuntimeError, match="two devices"):
        there + torch.ones(4, device=f"{device}:1")
    state, of_cpu = torch.get_device_module(device).get_rng_state(), torch.get_rng_state()
    drawn = torch.rand(4, device=device)
    assert torch.equal(of_cpu, torch.get_rng_state())
    torch.get_device_module(device).set_rng_state(state)
    assert torch.equal(drawn.cpu(), torch.rand(4, device=device).cpu())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--tuner", "full"],
        ["--packing", "--max-length", "128"],
        ["--gradient-checkpointing", "--activation-offload"],
        ["--validation-ratio", "0.25"],
        ["--use_dora", "true"],
    ],
    ids=" ".join,
)
def test_the_losses_are_those_of_a_cpu(project, words):
    plain = ["--max-steps", "4"] if "full" in words else PLAIN
    on_cpu = train(project, "--dtype", "float32", *plain, *words, "--device", "cpu")
    there = train(project, "--dtype", "float32", *plain, *words)  # the accelerator of the machine is the default
    assert "memory_reserved" in there["figures"]
    assert losses(project, there) == pytest.approx(losses(project, on_cpu), abs=2e-5)
    assert record(project, there)["rows"].get("reason") == record(project, on_cpu)["rows"].get("reason")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_dtypes_are_close_to_float32(project, dtype):
    wide, narrow = (losses(project, train(project, *PLAIN, "--dtype", kind)) for kind in ("float32", dtype))
    assert narrow == pytest.approx(wide, abs=0.05)
    assert narrow != wide


def test_preferences(project):
    words = [*PLAIN, "--dtype", "float32"]
    one, other = (train(project, *words, *more, verb="dpo", rows="pairs.jsonl") for more in ((), ("--device", "cpu")))
    assert losses(project, one) == pytest.approx(losses(project, other), abs=2e-5)


def test_a_resumed_run_draws_the_devices_numbers_where_it_stopped(project):
    words = ["--dtype", "float32", "--tuner.dropout", "0.2"]
    whole = train(project, *words, "--max-steps", "6")
    first = train(project, *words, "--max-steps", "3")
    rest = train(project, *words, "--max-steps", "6", "--resume", first["folder"])
    assert losses(project, first) + losses(project, rest) == losses(project, whole)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_does(project, strategy):
    words = [*PLAIN, "--dtype", "float32"]
    one = train(project, *words, "--gradient-accumulation-steps", "2")
    two = train(project, *words, "--processes", "2", "--parallel", strategy)
    assert record(project, two)["processes"] == 2
    assert losses(project, two) == pytest.approx(losses(project, one), abs=2e-5)


def test_what_was_trained_is_merged_and_served(project):
    done = train(project, *PLAIN)
    merged = result(project.here("merge", done["folder"], "--json"))
    assert merged["figures"]["max_logit_difference"] <= merged["figures"]["tolerance"]
    answers = []
    for words in (["--model", merged["output"]], ["--model", merged["output"], "--backend.device", "cpu"]):
        asked = result(project.here("ask", *words, "--questions", "Hi", "Bye", "--max-tokens", "6", "--json"))
        answers.append([json.loads(line)["answer"] for line in (project.folder / asked["output"]).read_text().splitlines()])
    assert answers[0] == answers[1]


def test_vectors_and_perplexities_are_those_of_a_cpu(project):
    lines = [json.dumps({"query": ask, "positive": answer}) + "\n" for ask, answer in TURNS * 2]
    (project.folder / "queries.jsonl").write_text("".join(lines))
    words = [*PLAIN, "--dtype", "float32"]
    one, other = (train(project, *words, *more, verb="embedding", rows="queries.jsonl") for more in ((), ("--device", "cpu")))
    assert losses(project, one) == pytest.approx(losses(project, other), abs=2e-5)
    (project.folder / "text.jsonl").write_text("".join(json.dumps({"text": f"{ask} {answer}"}) + "\n" for ask, answer in TURNS))
    words = ["eval", "model", "--evaluator", "builtin", "--rows", "text.jsonl", "--dtype", "float32", "--json"]
    scores = [result(project.here(*words, "--device", each))["figures"] for each in ("auto", "cpu")]
    names = [name for name in scores[0] if "perplexity" in name]
    assert names
    assert [scores[0][name] for name in names] == pytest.approx([scores[1][name] for name in names], rel=1e-5)


def test_answers_are_sampled_and_learned_from(project):
    (project.folder / "rewards.py").write_text("def short(completions, **_):\n    return [1.0 / (1 + len(text)) for text in completions]\n")
    words = ["--reward-funcs", "rewards.py:short", "--num-generations", "2", "--max-completion-length", "6", "--max-steps", "2"]
    done = train(project, *words, verb="grpo")
    assert done["figures"]["steps"] == 2
