"""The mark that ends a model's thinking is that of the checkpoint's own chat template."""

from __future__ import annotations

import json
import os

from swift_evaluate.offline import offline_if_local
from swift_evaluate.roles import Evaluation
from swift_evaluate.thinking import thinking_mark


def test_the_mark_is_found_in_either_place_of_a_template(tmp_path):
    assert thinking_mark(None) == ""
    assert thinking_mark(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ message }}"}))
    assert thinking_mark(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "<think>{{ thinking }}</think>{{ message }}"}))
    assert thinking_mark(tmp_path) == "</think>"
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "chat_template.jinja").write_text("[THINK]{{ thinking }}[/THINK]")
    assert thinking_mark(tmp_path) == "[/THINK]"


def test_hubs_are_not_asked_if_all_data_are_local(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, "")
    asked = Evaluation(folder=tmp_path, record=lambda item: None, data={"a": tmp_path})
    with offline_if_local(["a", "b"], asked):
        assert os.environ["HF_HUB_OFFLINE"] == ""
    with offline_if_local(["a"], asked):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        assert os.path.isdir(os.environ["HF_DATASETS_CACHE"])
