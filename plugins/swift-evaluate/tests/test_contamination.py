"""Questions that stand in the training rows of a checkpoint's lineage are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_data.choices import choose_dataset, fetch_dataset
from swift_evaluate.contamination import contamination, training_data, warning
from swift_evaluate.roles import Item

from swift_core.contract import Run, Source
from swift_core.plugins import registry
from swift_core.system import write_result, write_run

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
SHORT = "what is the capital of France and of Spain"
CHINESE = "中国的首都是哪里请回答问题"


@pytest.fixture
def lineage(tmp_path):
    """A base that was trained into another folder, and a checkpoint trained on it in its run folder."""

    def trained(name: str, text: str, base: str) -> Run:
        file = tmp_path / f"{name}.jsonl"
        file.write_text(json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]}) + "\n")
        choice = fetch_dataset(choose_dataset(registry(), str(file), {}, "dataset"), None)
        model = Source(reference=base, path=base, hash="", format="safetensors", family="")
        return Run(verb="sft", job="", model=model, datasets=(choice,), options={})

    base, runs = tmp_path / "base", tmp_path / "runs"
    base.mkdir()
    write_run(trained("first", f"He said: {LONG.upper()}, and more.", str(tmp_path / "absent")), runs / "1")
    write_result(runs / "1", {"status": "done", "output": str(base), "figures": {}})
    write_run(trained("second", f"Tell me, {SHORT}? {CHINESE}", str(base)), runs / "2")
    tuned = runs / "2" / "output"
    tuned.mkdir()
    return tuned, runs


def evaluated(tuned: Path, runs: Path) -> Run:
    model = Source(reference="", path=str(tuned), hash="", format="safetensors", family="")
    return Run(verb="eval", job="", model=model, options={"runs": str(runs)})


def test_the_lineage_names_the_rows(lineage):
    tuned, runs = lineage
    assert [Path(choice.asked).stem for choice in training_data(tuned, runs)] == ["second", "first"]
    assert [Path(choice.asked).stem for choice in training_data(runs.parent / "base", runs)] == ["first"]


def test_overlaps_are_reported(lineage):
    tuned, runs = lineage
    questions = {"long": f"Count: {LONG}.", "short": f"{SHORT}?", "chinese": CHINESE, "clean": LONG[::-1], "tiny": "He said", "": ""}
    items = [Item(task="t", id=name, question=text) for name, text in questions.items()]
    found = contamination(evaluated(tuned, runs), items)
    assert (found["overlapping"], found["questions"], found["training_rows"]) == (3, 4, 2)
    assert found["examples"] == ["t chinese", "t long", "t short"]
    assert len(warning(found)) == 1
    (runs.parent / "second.jsonl").unlink()
    found = contamination(evaluated(tuned, runs), items)
    assert (found["overlapping"], len(found["unreadable"])) == (1, 1)
    assert contamination(evaluated(runs.parent, runs), items) == {}
    (runs / "2" / "run.json").write_text("{}")
    assert len(contamination(evaluated(tuned, runs), items)["unreadable"]) == 1
