"""Checkpoints with a head are recognised, and refused where a language model, or an engine that serves them, is needed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from swift_formats.cross_encoder import LogitScore, write_logit_score
from swift_formats.head_facts import HeadFacts, write_head_facts
from swift_serve.head_tasks import answer_kind, serves_base
from swift_serve.plugin import swift_check

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Run, Settings, Source
from swift_core.plugins import registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.resolution import resolve


@pytest.fixture
def classifier(tiny_model, tmp_path):
    folder = tmp_path / "classifier"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "A", "1": "B", "2": "C"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def reward_adapter(tmp_path):
    """An adapter as other tools write it, without a manifest."""
    folder = tmp_path / "reward"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"task_type": "SEQ_CLS", "peft_type": "LORA"}))
    save_file({"base_model.model.score.weight": torch.zeros(1, 8)}, folder / "adapter_model.safetensors")
    return folder


def test_the_head_is_read_from_the_files(tiny_model, classifier, reward_adapter):
    assert [Checkpoint.at(folder).head for folder in (tiny_model, classifier, reward_adapter)] == ["", "score:3", "score:1"]


@pytest.mark.parametrize("backend", ["lmdeploy", "openvino"])
def test_a_backend_without_the_routes_of_a_head_is_refused(backend, classifier):
    source = Source(reference=f"file:{classifier}", path=str(classifier), hash="", format="safetensors", family="")
    (found,) = swift_check(Run(verb="serve", job="", model=source, parts={"backend": registry().choose("backend", backend)}))
    assert (found.code, found.where) == ("SERVE-089", "model")
    assert "vllm" in found.hint


def test_an_adapter_with_a_head_is_served_by_the_embedded_server_alone(tiny_model, reward_adapter):
    settings = {"model": str(tiny_model), "adapter": [str(reward_adapter)]}
    run = resolve(verb_named("serve"), Settings({**settings, "allow_other_base": True})).run
    assert not serves_base(run)
    (found,) = swift_check(replace(run, parts={"backend": registry().choose("backend", "vllm")}))
    assert "swift merge" in found.hint


def test_text_of_a_model_with_a_head_is_not_evaluated(classifier):
    source = Source(reference=f"file:{classifier}", path=str(classifier), hash="", format="safetensors", family="")
    (found,) = swift_check(Run(verb="eval", job="", model=source, parts={"evaluator": registry().choose("evaluator", "builtin")}))
    assert found.where == "model"
    assert "swift infer" in found.hint


def test_what_a_checkpoint_answers(tiny_model, classifier, reward_adapter, tmp_path):
    pair = shutil.copytree(classifier, tmp_path / "pair")
    write_head_facts(pair, HeadFacts(("score",), "sigmoid", "pair"))
    asked = shutil.copytree(tiny_model, tmp_path / "asked")
    write_logit_score(asked, LogitScore(5, 6))
    kinds = [answer_kind(folder) for folder in (tiny_model, classifier, reward_adapter, pair, asked)]
    assert kinds == ["text", "classification", "classification", "reranking", "reranking"]
