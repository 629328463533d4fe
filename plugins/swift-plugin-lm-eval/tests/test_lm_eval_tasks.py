"""The task files for local data: lm-eval's own task, read from the local folder, with examples only where there are any."""

from __future__ import annotations

import json

import pytest
from swift_evaluate.prepare import prepare
from swift_evaluate.roles import Evaluation
from swift_plugin_lm_eval.tasks import local_tasks, write_task

MMLU = "Where is it?,here,there,nowhere,everywhere,B\n"


@pytest.fixture
def prepared(tmp_path):
    def make(name, **files):
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file.replace("__", ".")).write_text(content)
        return prepare(name, [tmp_path / name], tmp_path / f"{name}-out")

    return make


def asked(tmp_path, **more):
    return Evaluation(folder=tmp_path, record=lambda item: None, **more)


def test_each_subject_is_a_task_that_includes_lm_evals_own(prepared, tmp_path):
    found = prepared("mmlu", anatomy_test__csv=MMLU, astronomy_test__csv=MMLU, anatomy_dev__csv=MMLU, astronomy_dev__csv=MMLU)
    anatomy, astronomy = local_tasks(found, asked(tmp_path))
    assert (anatomy.name, anatomy.includes, astronomy.name) == ("mmlu_anatomy", "mmlu_anatomy", "mmlu_astronomy")
    assert anatomy.config["dataset_name"] == "anatomy"
    assert (anatomy.config["test_split"], anatomy.config["fewshot_split"]) == ("test", "dev")
    assert "num_fewshot" not in anatomy.config  # as lm-eval's task has it
    written = json.loads(write_task(anatomy, tmp_path, tmp_path / "own.yaml").read_text())
    assert written["include"] == str(tmp_path / "own.yaml")
    assert written["dataset_path"] == str(found.folder)
    assert local_tasks(found, asked(tmp_path, few_shot=2))[0].config["num_fewshot"] == 2


def test_without_examples_the_prompts_have_none(prepared, tmp_path):
    found = prepared("gsm8k", test__jsonl='{"question": "2 + 3?", "answer": "#### 5"}')
    (task,) = local_tasks(found, asked(tmp_path))
    assert (task.config["num_fewshot"], task.config["fewshot_split"]) == (0, None)


def test_cmnli_is_a_task_of_our_own(prepared, tmp_path):
    found = prepared("cmnli", dev__json='{"sentence1": "a", "sentence2": "b", "label": "neutral"}')
    (task,) = local_tasks(found, asked(tmp_path))
    assert (task.includes, task.config["output_type"], task.config["validation_split"]) == ("", "multiple_choice", "val")
