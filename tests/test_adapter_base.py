"""An adapter is taken on the base that it was trained on, by every verb, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model

from swift_core.api import resolved
from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.lineage import check_base
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Source

ROWS = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}]
VERBS = [
    ("sft", "--model", "{base}", "--adapter", "{adapter}", "--dataset", "rows.jsonl"),
    ("pretrain", "--model", "{base}", "--adapter", "{adapter}", "--dataset", "text.jsonl"),
    ("merge", "{base}", "--adapter", "{adapter}"),
    ("serve", "{base}", "--adapter", "one={adapter}"),
    ("export", "{base}", "--adapter", "{adapter}", "--to", "safetensors"),
    ("ask", "{base}", "--adapter", "{adapter}", "--questions", "Who?"),
]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's shapes and names with other weights."""
    return write_tiny_model(tmp_path_factory.mktemp("other") / "model", seed=3)


@pytest.fixture
def adapter(tmp_path: Path):
    """Write an adapter folder: with our manifest, where it is given a base, else as PEFT alone writes one."""

    def write(*, base: Path | None = None, named: str = "", tokenizer: Path | None = None) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "base_model_name_or_path": named}))
        (folder / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")  # a header, and no tensors
        if tokenizer:
            shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
        if base:
            reported = {"reference": f"file:{base}", "hash": Checkpoint.at(base).hash(), "path": str(base)}
            write_manifest(folder, Manifest(kind="adapter", base=reported))
        return folder

    return write


def source(folder: Path, reference: str = "") -> Source:
    return Source(reference=reference or f"file:{folder}", path=str(folder), hash="", format=Checkpoint.at(folder).format, family="")


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_every_verb_refuses_another_base(words, swift, tiny_model, other, adapter):
    (swift.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (swift.folder / "text.jsonl").write_text(json.dumps({"text": "Hello"}) + "\n")
    folder = adapter(base=tiny_model)
    outcome = swift(*(word.format(base=other, adapter=folder) for word in words), "--dry-run")
    assert outcome.code == 2, outcome.out
    assert f"the adapter was trained on file:{tiny_model}" in outcome.err
    assert "--allow-other-base" in outcome.err
    assert not (swift.folder / "runs").exists()


def test_the_user_may_insist_and_the_right_base_is_taken(tiny_model, other, adapter):
    folder = adapter(base=tiny_model)
    resolved("get-model", {"model": str(tiny_model), "adapter": [str(folder)]}, None)
    with pytest.raises(UsageError, check=coded("CKPT-039")):
        resolved("get-model", {"model": str(other), "adapter": [str(folder)]}, None)
    run = resolved("get-model", {"model": str(other), "adapter": [str(folder)], "allow_other_base": True}, None)
    assert run.options["allow_other_base"]


def test_a_base_that_was_changed_since_is_another_base(tiny_model, adapter, tmp_path):
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    folder = adapter(base=base)
    check_base(folder, source(base))
    write_tiny_model(base, seed=4)
    with pytest.raises(UsageError, check=coded("CKPT-039")):
        check_base(folder, source(base))


def test_an_adapter_of_peft_alone_is_known_by_the_base_that_it_names(tiny_model, other, adapter):
    notes: list[str] = []
    folder = adapter(named=str(tiny_model))
    check_base(folder, source(tiny_model), notes.append)
    assert not notes
    with pytest.raises(UsageError, check=coded("CKPT-039")):
        check_base(folder, source(other), notes.append)


@pytest.mark.parametrize(
    ("named", "reference", "outcome"),
    [
        ("Org/Name", "hf:org/name@main", "taken"),
        ("org/name", "hf:org/name-instruct@main", "refused"),
        ("org/name", "", "noted"),
        ("/somewhere/else", "hf:org/name", "noted"),
        ("", "hf:org/name", "noted"),
    ],
)
def test_names_are_compared_where_both_are_of_a_hub(named, reference, outcome, tiny_model, adapter):
    notes: list[str] = []
    folder = adapter(named=named, tokenizer=tiny_model)
    if outcome == "refused":
        with pytest.raises(UsageError, check=coded("CKPT-039"), match=r"org/name.*hf:org/name-instruct"):
            check_base(folder, source(tiny_model, reference), notes.append)
        return
    check_base(folder, source(tiny_model, reference), notes.append)
    assert bool(notes) == (outcome == "noted")


def test_another_vocabulary_is_refused(tiny_model, adapter):
    folder = adapter(tokenizer=tiny_model)
    check_base(folder, source(tiny_model))
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(data))
    with pytest.raises(UsageError, check=coded("CKPT-039"), match="another vocabulary"):
        check_base(folder, source(tiny_model))


def test_tokens_that_training_added_are_no_other_vocabulary(tiny_model, adapter):
    folder = adapter(tokenizer=tiny_model)
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    data["added_tokens"].append({**data["added_tokens"][0], "id": 400, "content": "<tool>"})
    file.write_text(json.dumps(data))
    check_base(folder, source(tiny_model))
