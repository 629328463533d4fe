"""Export of a trained model: `make test-full LANE=export`. OpenVINO serves the file, in the environment of `swift env create openvino`."""

from __future__ import annotations

import json

import pytest
import torch
from swift_environments.isolated import isolated_entry
from swift_plugin_transformers.loader import TransformersLoader
from swift_serve import chat
from swift_testing.serving import SwiftServe
from swift_train.roles import Loading

import swift_core as api
from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.family import UNKNOWN
from swift_core.environments import python_for
from swift_core.plugins.registered import registry

pytestmark = pytest.mark.full("export")

TEXT = "The capital of France is Paris. It lies on the Seine, and 2,102,650 people live there."
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
MOST = {"f16": 1e-9, "bf16": 1e-9, "q8_0": 0.01, "q5_1": 0.4, "q5_0": 0.4, "q4_1": 0.001, "q4_0": 1.0}
"""Maximum mean KL divergence from the checkpoint, whose weights were read from a q4_1 file and are exact in float16."""


def load(path):
    return TransformersLoader().load(path, UNKNOWN, Loading(device="cpu", dtype="float32"))


def scores(loaded):
    with torch.no_grad():
        ids = loaded.processor(TEXT, return_tensors="pt").input_ids
        return loaded.model(input_ids=ids).logits[0].log_softmax(-1)


def test_the_kl_divergence_of_every_type_is_within_its_limit(smollm2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = scores(load(smollm2))
    divergence = {}
    for kind in MOST:
        done = api.export(smollm2, "gguf", type=kind, output=kind)
        found = scores(load(done.output))
        divergence[kind] = float(torch.nn.functional.kl_div(found, expected, log_target=True, reduction="none").sum(-1).mean())
    (tmp_path / "kl.json").write_text(json.dumps(divergence))
    assert all(value <= MOST[kind] for kind, value in divergence.items()), divergence
    assert divergence["q4_1"] < divergence["q8_0"] < divergence["q5_0"] < divergence["q4_0"]


def test_openvino_serves_the_file_with_the_tokens_of_the_checkpoint(smollm2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = python_for(isolated_entry(registry(), "openvino"), {})
    # its actual pre-tokenizer: transformers' reader drops the splitting of digits, and OpenVINO splits text differently for gpt-2
    done = api.export(smollm2, "gguf", type="q8_0", pre_tokenizer="smollm", output="out")
    assert Checkpoint.at(done.output.parent).manifest.golden == Checkpoint.at(smollm2).manifest.golden
    words = ["--backend", "openvino", "--cache-gib", "1", "--name", "base", "--envs", json.dumps({"openvino": python})]
    with SwiftServe(tmp_path, str(done.output.parent), *words) as server:  # fails to start if the golden tokens differ
        assert "Paris" in chat(server.server, FRANCE, temperature=0, max_tokens=24)
