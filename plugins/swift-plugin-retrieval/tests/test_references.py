"""Losses of embedding models and rerankers equal sentence-transformers' on the same rows, at each of ten steps; it reads what is saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch
from swift_formats.sentence_transformers import Pooling, write_pooling
from swift_testing.encoders import write_encoder
from swift_train.head_inputs import ServedHead
from swift_train.head_outputs import HeadOutputs
from swift_train.pair_texts import PairTexts
from swift_train.testing import run_training, training_run, write_rows
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.full("references")
REQUIREMENTS = ("sentence-transformers==6.2.0", "scikit-learn", "scipy", "joblib", "threadpoolctl", "narwhals", "cloudpickle")
SCRIPT = Path(__file__).parent / "sentence_transformers_steps.py"
WORDS = ("red", "green", "blue", "far", "near", "old", "cold", "new", "wide", "thin")
TEXTS = [f"The {WORDS[number % 10]} thing is {WORDS[number * 7 % 10]}, number {number}" for number in range(120)]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment with sentence-transformers over the packages of this one."""
    folder = tmp_path_factory.mktemp("environment") / "st"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    own = Path(sysconfig.get_paths()["purelib"])
    (site / "packages.pth").write_text(f"{own}\n")
    found = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(found), "install", "-q", "--no-deps", *REQUIREMENTS]
    subprocess.run(command, check=True)
    return found


def answer(python, *arguments):
    done = subprocess.run([str(python), str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def batches(name):
    """Ten steps of four rows, as our rows and as sentence-transformers' columns."""
    for step in range(10):
        own = TEXTS[12 * step : 12 * step + 12]
        columns = [own[:4], own[4:8]]
        if name in ("infonce", "matryoshka"):
            columns.append(own[8:])
            rows = [{"query": q, "positive": p, "negative": [n]} for q, p, n in zip(*columns, strict=True)]
            yield rows, {"columns": columns, "labels": [0, 0, 0, 0]}
        else:
            labels = [1, 0, 0, 1] if "contrastive" in name else [0.1, 0.9, 0.5, 0.5]
            rows = [{"sentence1": a, "sentence2": b, "score": label} for a, b, label in zip(*columns, labels, strict=True)]
            yield rows, {"columns": columns, "labels": labels}


@pytest.fixture
def model(tiny_model, tmp_path):
    """A model with sentence-transformers' files: without them it would render texts through the chat template."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    write_pooling(folder, Pooling("lasttoken", True), json.loads((folder / "config.json").read_text())["hidden_size"], None)
    return folder


@pytest.mark.parametrize("name", ["infonce", "cosent", "cosine_similarity", "contrastive", "online_contrastive", "matryoshka"])
def test_each_step_has_the_loss_of_sentence_transformers(model, python, tmp_path, name):
    steps = list(batches(name))
    file = write_rows(tmp_path / "rows.jsonl", [row for rows, _ in steps for row in rows])
    more = {"matryoshka_dims": [16, 8]} if name == "matryoshka" else {"loss_type": name}
    options = {"task": "embedding", "tuner": "full", "batch_size": 2, "gradient_accumulation_steps": 2, **more}
    options |= {"max_steps": 10, "learning_rate": 1e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
    ours = [line["loss"] for line in run_training(training_run(model, file, **options), tmp_path / "run") if "loss" in line]
    (tmp_path / "steps.json").write_text(json.dumps([each for _, each in steps]))
    theirs = answer(python, "train", model, tmp_path / "steps.json", name)
    assert len(ours) == 10
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("pooling", ["lasttoken", "mean", "cls"])
def test_it_reads_the_saved_model(tiny_model, python, tmp_path, pooling):
    file = write_rows(tmp_path / "rows.jsonl", [row for rows, _ in batches("infonce") for row in rows])
    options = {"task": "embedding", "tuner": "full", "pooling": pooling, "max_steps": 2, "batch_size": 4}
    run_training(training_run(tiny_model, file, **options), tmp_path / "run")
    out = tmp_path / "run" / "output"
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS[:3]))
    theirs = torch.tensor(answer(python, "encode", out, tmp_path / "texts.json"))
    model, tokenizer = AutoModel.from_pretrained(out, dtype=torch.float32), AutoTokenizer.from_pretrained(out)
    states = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].detach() for text in TEXTS[:3]]
    pooled = torch.stack([{"lasttoken": each[-1], "mean": each.mean(0), "cls": each[0]}[pooling] for each in states])
    torch.testing.assert_close(theirs, normalize(pooled, dim=-1), atol=1e-5, rtol=1e-4)


def ranked(step):
    own = TEXTS[12 * step : 12 * step + 12]
    return [{"query": own[3 * place], "documents": own[3 * place + 1 : 3 * place + 3], "labels": [1, 0]} for place in range(4)]


@pytest.mark.parametrize(("kind", "name"), [("bert", "pointwise"), ("llama", "listnet")])
def test_a_reranker_has_the_loss_of_a_cross_encoder_and_is_read_by_it(tiny_model, python, tmp_path, kind, name):
    base = tiny_model if kind == "llama" else write_encoder(tmp_path / "model")
    steps = [ranked(step) for step in range(10)]
    file = write_rows(tmp_path / "rows.jsonl", [row for rows in steps for row in rows])
    options = {"task": "reranker", "tuner": "full", "batch_size": 4, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
    run_training(training_run(base, file, **options, max_steps=1, learning_rate=1e-3), tmp_path / "first")
    start = tmp_path / "first" / "output"
    run = training_run(start, file, **options, loss_type=name, max_steps=10, learning_rate=1e-3)
    ours = [line["loss"] for line in run_training(run, tmp_path / "run") if "loss" in line]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    assert ours == pytest.approx(answer(python, "rerank", start, tmp_path / "steps.json", name), abs=1e-4)


def test_a_generative_reranker_is_read_by_it(tiny_model, python, tmp_path):
    file = write_rows(tmp_path / "rows.jsonl", ranked(0) + ranked(1))
    options = {"task": "generative-reranker", "tuner": "full", "yes_token": "y", "no_token": "n", "max_steps": 2, "batch_size": 4}
    run_training(training_run(tiny_model, file, **options), tmp_path / "run")
    out = tmp_path / "run" / "output"
    pairs = [(row["query"], text) for row in ranked(2) for text in row["documents"]]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    theirs = answer(python, "predict", out, tmp_path / "pairs.json")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32), AutoTokenizer.from_pretrained(out)
    compute = HeadOutputs(model, tokenizer.pad_token_id)
    ours = compute(PairTexts(tokenizer)(pairs), ServedHead.of(out))[:, 0]
    assert ours.tolist() == pytest.approx(theirs, abs=1e-4)
