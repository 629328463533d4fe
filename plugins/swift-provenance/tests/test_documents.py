"""Bills of materials and model cards: valid for the stock readers, filled from what runs recorded, without this machine's paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Run, Source
from swift_core.system import write_json, write_result, write_run
from tests.here import swift_here


@pytest.fixture
def made(tmp_path, tiny_model):
    """An adapter trained on a file with a card, and an evaluation of it with an interval."""
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"{n}"}]} for n in range(4)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    words = ("--dataset", "data/rows.jsonl", "--max-steps", "1", "--max-length", "64", "--output", "tuned")
    code, _, err = swift_here(tmp_path, "sft", "--model", str(tiny_model), *words)
    assert code == 0, err
    tuned = Source(reference="tuned", path=str(tmp_path / "tuned"), hash=Checkpoint.at(tmp_path / "tuned").hash(), format="", family="")
    write_run(Run(verb="eval", job="a:b", adapters={"adapter": tuned}), tmp_path / "runs" / "scored")
    score = {"value": 0.75, "interval": [0.5, 0.9], "n": 12}
    write_json(tmp_path / "runs" / "scored" / "scores.json", {"scores": {"mmlu": {"accuracy": score}}})
    write_result(tmp_path / "runs" / "scored", {"status": "done"})
    return tmp_path


def test_the_bill_of_materials_is_valid_and_complete(made, tiny_model):
    cyclonedx = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    assert swift_here(made, "bom", "tuned", "--output", "bom.json")[0] == 0
    text = (made / "bom.json").read_text()
    assert cyclonedx.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    model = found["metadata"]["component"]
    assert model["hashes"][0]["content"] == Checkpoint.at(made / "tuned").hash()
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "LlamaForCausalLM"
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {"type": "mmlu.accuracy", "value": "0.75", "confidenceInterval": {"lowerBound": "0.5", "upperBound": "0.9"}}
    (data,) = [each for each in found["components"] if each["type"] == "data"]
    assert data["licenses"] == [{"expression": "CC-BY-4.0"}]
    (base,) = [each for each in found["components"] if each["type"] == "machine-learning-model"]
    assert base["hashes"][0]["content"] == Checkpoint.at(tiny_model).hash()
    assert base["bom-ref"] == model["pedigree"]["ancestors"][0]["bom-ref"]
    assert str(made) not in text
    assert str(tiny_model) not in text


def test_the_model_card_is_read_by_the_hub_s_library(made, tiny_model):
    from huggingface_hub import ModelCard

    assert swift_here(made, "card", "tuned", "--name", "org/pilot", "--annex-xi")[0] == 0
    path = made / "tuned" / "README.md"
    card = ModelCard.load(path)
    assert card.data.to_dict()["library_name"] == "peft"
    text = path.read_text()
    assert text.count("[More Information Needed]") > 5
    for part in (
        "# Model Card for pilot",
        "| mmlu | accuracy | 0.75 | 0.5 to 0.9 | 12 |",
        "rows.jsonl, licence: cc-by-4.0",
        "no statement on",
    ):
        assert part in text
    assert str(made) not in text
    assert str(tiny_model.parent) not in text
    assert swift_here(made, "card", "tuned")[0] == 2
    assert swift_here(made, "card", "tuned", "--overwrite")[0] == 0
    assert "AI Act" not in path.read_text()


def test_a_checkpoint_that_nobody_recorded_has_a_card_too(tmp_path, tiny_model):
    assert swift_here(tmp_path, "card", str(tiny_model), "--output", "card.md")[0] == 0
    assert "Training Data\n\n[More Information Needed]" in (tmp_path / "card.md").read_text()
    assert json.loads(swift_here(tmp_path, "bom", str(tiny_model))[1])["components"] == []
    assert swift_here(tmp_path, "bom", str(Path("absent")))[0] == 2
