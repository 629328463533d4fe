"""A file of another tool that is given to a verb directly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.here import swift_here

FILES = Path(__file__).parent / "files"


@pytest.fixture
def here(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "tiny")
    (tmp_path / "chat.jsonl").write_text('{"query": "What is 6 x 7?", "response": "42"}\n' * 300)
    return tmp_path


def swift(folder, verb, file, *words):
    shutil.copy(FILES / file, folder / Path(file).name)
    return swift_here(folder, verb, Path(file).name, "--model", "tiny", "--dataset", "chat.jsonl", *words, "--dry-run")


def test_the_options_are_those_of_the_import(here):
    code, printed, error = swift(here, "sft", "llama-factory/lora_sft.yaml", "--max-length", "64")
    assert code == 0, error
    run = json.loads(printed)
    assert run["parts"]["tuner"]["options"]["rank"] == 16
    assert run["parts"]["task"]["options"]["max_length"] == 64  # a flag wins
    assert run["parts"]["optimizer"]["options"]["weight_decay"] == 0.0  # a default of the tool
    assert "LLaMA-Factory" in error


def test_axolotl_too(here):
    code, printed, error = swift(here, "sft", "axolotl/qlora_fsdp.yml")
    assert code == 0, error
    assert json.loads(printed)["parts"]["tuner"]["name"] == "qlora"


def test_json_and_names_of_other_tools(here):
    """A file in JSON is a file of options too, with the names that the command line takes."""
    values = {"model": "tiny", "dataset": ["chat.jsonl"], "lora_rank": 16, "target_modules": "all-linear", "per_device_train_batch_size": 2}
    (here / "ms.json").write_text(json.dumps(values, indent=2))
    code, printed, error = swift_here(here, "sft", "ms.json", "--dry-run")
    assert code == 0, error
    run = json.loads(printed)
    assert (run["parts"]["tuner"]["options"]["rank"], run["parts"]["task"]["options"]["batch_size"]) == (16, 2)


def test_another_verb_is_named(here):
    code, _, error = swift(here, "sft", "llama-factory/dpo.yaml")
    assert code == 2
    assert "IMPORT-009" in error
    assert "swift dpo" in error


def test_what_is_not_possible_is_refused(here):
    code, _, error = swift(here, "sft", "llama-factory/freeze_dora_missing.yaml")
    assert code == 2
    assert "IMPORT-010" in error
    assert "moon_phase" in error


def test_a_typing_error_in_a_file_of_swift_is_none_of_another_tool(here):
    (here / "own.yaml").write_text("model: tiny\ndataset: chat.jsonl\nmax_lenght: 64\ntuner: {name: lora, rank: 4}\n")
    code, _, error = swift_here(here, "sft", "own.yaml", "--dry-run")
    assert code == 2
    assert "IMPORT" not in error
    assert "max_length" in error
