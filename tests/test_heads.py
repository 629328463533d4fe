"""Checkpoints with a head of scores are recognised, and refused where a language model is needed."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Settings, UsageError
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


@pytest.mark.parametrize("verb", ["serve", "infer"])
def test_a_classifier_is_not_served(verb, classifier, tiny_model, reward_adapter):
    for settings in ({"model": str(classifier)}, {"model": str(tiny_model), "adapter": [str(reward_adapter)]}):
        with pytest.raises(UsageError) as error:
            resolve(verb_named(verb), Settings({**settings, "allow_other_base": True}))
        assert error.value.code == "SERVE-089"
        assert "Load it with transformers" in str(error.value)
