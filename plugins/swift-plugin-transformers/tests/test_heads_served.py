"""Vectors, classes, scores and rankings of the embedded server, against transformers' own models on the same texts."""

from __future__ import annotations

import json
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from starlette.testclient import TestClient
from swift_http import create_head_app
from swift_plugin_transformers.head_engine import EmbeddedHeadEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_train.testing import run_training, training_run, write_rows
from torch.nn.functional import cosine_similarity, normalize
from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from swift_core.cli import cli

TEXTS = ["A red thing.", "Far away from here, and cold.", "Blue"]
TRAINING: dict[str, Any] = {"max_steps": 2, "batch_size": 4, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier of three named classes, as a model and as an adapter."""
    folder = tmp_path_factory.mktemp("classifier")
    rows = [
        {"messages": [{"role": "user", "content": text}], "label": name} for text, name in zip(TEXTS, ("red", "far", "blue"), strict=True)
    ]
    file, made = write_rows(folder / "rows.jsonl", rows), {}
    for tuner in ("full", "lora"):
        options = {"num_labels": 3, "label_names": ["blue", "far", "red"], **TRAINING}
        run_training(training_run(tiny_model, file, task="seq-cls", tuner=tuner, **options), folder / tuner)
        made[tuner] = folder / tuner / "output"
    return made


@pytest.fixture(scope="module")
def embedder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    file = write_rows(folder / "rows.jsonl", [{"query": text, "positive": text.upper()} for text in TEXTS])
    options = {"pooling": "mean", "query_prompt": "query: ", "tuner": "full", **TRAINING}
    run_training(training_run(tiny_model, file, task="embedding", **options), folder)
    return folder / "output"


def client(checkpoint: Path, adapters: dict[str, Path] | None = None) -> tuple[TestClient, EmbeddedHeadEngine]:
    engine = load(checkpoint, adapters or {}, "m", ServeOptions(device="cpu", dtype="float32", batch=2))
    assert isinstance(engine, EmbeddedHeadEngine)
    return TestClient(create_head_app(engine)), engine


def post(server: TestClient, path: str, status: int = 200, **body: Any) -> Any:
    answer = server.post(path, json={"model": "m", **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_classifier_gives_the_probabilities_of_transformers(classifier: dict[str, Path]) -> None:
    folder = classifier["full"]
    server, engine = client(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    rendered = [tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False) for text in TEXTS]
    logits = torch.cat([model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits for text in rendered]).detach()
    ask = partial(post, server, "/v1/classify")
    found = ask(input=TEXTS)
    torch.testing.assert_close(torch.tensor([each["probs"] for each in found["data"]]), logits.softmax(-1), atol=1e-5, rtol=1e-4)
    assert [each["label"] for each in found["data"]] == [["blue", "far", "red"][best] for best in logits.argmax(-1)]
    assert found["usage"]["prompt_tokens"] == sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in rendered)
    raw = ask(input=TEXTS[0], use_activation=False)["data"][0]["probs"]
    torch.testing.assert_close(torch.tensor(raw), logits[0], atol=1e-5, rtol=1e-4)
    assert ask(messages=[{"role": "user", "content": TEXTS[0]}])["data"] == ask(input=TEXTS[0])["data"]
    assert model.config.id2label == {0: "blue", 1: "far", 2: "red"}
    engine.close()


def test_an_adapter_has_its_own_labels_and_its_base_is_not_served(tiny_model: Path, classifier: dict[str, Path]) -> None:
    server, engine = client(tiny_model, {"colours": classifier["lora"]})
    assert [each["id"] for each in server.get("/v1/models").json()["data"]] == ["colours"]
    assert post(server, "/v1/classify", model="colours", input=TEXTS)["data"][0]["label"] in ("blue", "far", "red")
    post(server, "/v1/classify", 404, input=TEXTS)
    engine.close()


def test_vectors_are_pooled_as_they_were_trained(embedder: Path) -> None:
    server, engine = client(embedder)
    tokenizer, model = AutoTokenizer.from_pretrained(embedder), AutoModel.from_pretrained(embedder, dtype=torch.float32)

    def vectors(texts: list[str]) -> torch.Tensor:
        states = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).detach() for text in texts]
        return normalize(torch.stack(states), dim=-1)

    same = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)
    same(torch.tensor([each["embedding"] for each in post(server, "/v1/embeddings", input=TEXTS)["data"]]), vectors(TEXTS))
    asked = post(server, "/v1/embeddings", input=TEXTS, input_type="search_query", encoding_format="base64")["data"]
    packed = torch.tensor(np.stack([np.frombuffer(b64decode(each["embedding"]), "<f4") for each in asked]))
    same(packed, vectors([f"query: {text}" for text in TEXTS]))
    short = torch.tensor(post(server, "/v1/embeddings", input=TEXTS[0], dimensions=8)["data"][0]["embedding"])
    same(short, normalize(vectors(TEXTS)[0, :8], dim=-1))
    scores = cosine_similarity(vectors(["query: Red?"]), vectors(TEXTS))
    found = post(server, "/v1/rerank", query="Red?", documents=[TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]])["results"]
    assert [each["index"] for each in found] == scores.argsort(descending=True).tolist()
    assert [each["relevance_score"] for each in found] == pytest.approx(scores.sort(descending=True).values.tolist(), abs=1e-5)
    assert post(server, "/rerank", query="Red?", documents=TEXTS, top_n=1, return_documents=False)["results"][0].keys() == {
        "index",
        "relevance_score",
    }
    assert [each["score"] for each in post(server, "/v1/score", text_1="Red?", text_2=TEXTS)["data"]] == pytest.approx(
        scores.tolist(), abs=1e-5
    )
    engine.close()


@pytest.fixture(scope="module")
def tagger(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token classifier of people and places."""
    folder = tmp_path_factory.mktemp("tagger")
    rows = [{"tokens": ["Ada", "is", "in", "New", "York", "."], "tags": ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]}] * 4
    options = {"label_names": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "num_labels": 5, "tuner": "full", **TRAINING, "max_steps": 12}
    file = write_rows(folder / "rows.jsonl", rows)
    run_training(training_run(tiny_model, file, task="token-cls", **{**options, "learning_rate": 1e-2}), folder)
    return folder / "output"


def test_a_token_classifier_labels_words_and_joins_entities(tagger: Path) -> None:
    server, engine = client(tagger)
    text = "Ada is in New York."
    found = post(server, "/v1/classify", input=[text, "Ada"])["data"]
    assert [each["text"] for each in found[0]["tokens"]] == ["Ada", "is", "in", "New", "York", "."]
    tokenizer, model = AutoTokenizer.from_pretrained(tagger), AutoModelForTokenClassification.from_pretrained(tagger, dtype=torch.float32)
    encoded = tokenizer(text, return_tensors="pt")
    probs = model(**encoded).logits.detach()[0].softmax(-1)
    own = [encoded.char_to_token(each["start"]) for each in found[0]["tokens"]]
    torch.testing.assert_close(torch.tensor([each["probs"] for each in found[0]["tokens"]]), probs[own], atol=1e-5, rtol=1e-4)
    assert found[0]["entities"] == [
        {"start": 0, "end": 3, "text": "Ada", "label": "PER"},
        {"start": 10, "end": 18, "text": "New York", "label": "LOC"},
    ]
    assert [each["label"] for each in found[1]["tokens"]] == ["B-PER"]
    assert "send them as text" in post(server, "/v1/classify", 400, input=[[5, 6]])["error"]["message"]
    assert "it has: token_classify" in post(server, "/v1/embeddings", 400, input="a")["error"]["message"]
    cut = post(server, "/v1/classify", input=text, truncate_prompt_tokens=1)["data"][0]
    assert len(cut["tokens"]) == 1
    engine.close()


@pytest.mark.slow
def test_infer_names_entities_with_their_figures(tagger: Path, tmp_path: Path) -> None:
    rows = [
        {"tokens": ["Ada", "is", "in", "New", "York", "."], "tags": ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]},
        {"text": "Ada is in New York.", "spans": [[0, 3, "PER"], [10, 13, "LOC"]]},
    ]
    file, output = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "answers.jsonl"
    words = ["infer", str(tagger), "--dataset", str(file), "--output", str(output), "--device", "cpu", "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [each["text"] for each in json.loads(output.read_text().splitlines()[0])["entities"]] == ["Ada", "New York"]
    (run,) = (tmp_path / "runs").iterdir()
    figures = json.loads((run / "result.json").read_text())["figures"]
    assert (figures["accuracy"], figures["f1"], figures["precision"]) == (1.0, 0.75, 0.75)


def test_other_requests_are_refused_with_the_reason(embedder: Path) -> None:
    server, engine = client(embedder)
    refused = partial(post, server, status=400)
    assert "/v1/embeddings" in refused("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}])["error"]["message"]
    assert "no classifier" in refused("/v1/classify", input="Red")["error"]["message"]
    assert "fewer than" in refused("/v1/embeddings", input="Red", dimensions=10_000)["error"]["message"]
    assert "make no pairs" in refused("/v1/score", text_1=["a", "b"], text_2=["c", "d", "e"])["error"]["message"]
    assert "truncate_prompt_tokens" in refused("/v1/embeddings", input="red " * 5000)["error"]["message"]
    assert post(server, "/v1/embeddings", input="red " * 5000, truncate_prompt_tokens=-1)["usage"]["prompt_tokens"] == engine.context
    assert refused("/v1/embeddings", input="")["error"]["param"] == "input"
    assert refused("/v1/rerank", query="a", documents=[])["error"]["param"] == "documents"
    assert refused("/v1/embeddings", input=[[10_000_000]])["error"]
    engine.close()


@pytest.mark.slow
def test_infer_gives_classes_with_their_accuracy(tiny_model: Path, classifier: dict[str, Path], tmp_path: Path) -> None:
    """From the command line: an adapter on its base, in a server of its own."""
    rows = [
        {"messages": [{"role": "user", "content": text}], "label": name} for text, name in zip(TEXTS, ("red", "far", "blue"), strict=True)
    ]
    file, output = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "answers.jsonl"
    words = ["infer", "--adapter", str(classifier["lora"]), "--dataset", str(file), "--output", str(output), "--device", "cpu"]
    done = CliRunner().invoke(cli, [*words, "--runs", str(tmp_path / "runs")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    right = [line["label"] == line["expected"] for line in lines]
    assert all(line["probs"] and sum(line["probs"]) == pytest.approx(1, abs=1e-5) for line in lines)
    (run,) = (tmp_path / "runs").iterdir()
    figures = json.loads((run / "result.json").read_text())["figures"]
    assert figures["accuracy"] == pytest.approx(sum(right) / 3)
