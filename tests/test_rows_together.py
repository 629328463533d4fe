"""Rows of a micro-batch don't see each other, as a user finds it: losses as of each row alone, and no packing where they would."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def leaking(swift, tmp_path):
    """A model whose rows see each other in one pass, and texts."""
    from swift_testing.architectures import write_small_model

    write_small_model(tmp_path / "model", "bloom")
    texts = [" ".join(f"word{at * number % 7}" for at in range(4 + number)) for number in range(1, 9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return swift


def pretrain(swift, *words):
    options = ["--model", "model", "--dataset", "rows.jsonl", "--tuner", "full", "--max-steps", "2", "--dtype", "float32"]
    return swift("pretrain", *options, *words)


def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(line["loss"], line["grad_norm"]) for line in lines if "loss" in line]


def test_the_batch_size_is_for_speed_alone(leaking):
    for name, words in {"two": ["--batch-size", "2"], "one": ["--batch-size", "1", "--gradient-accumulation-steps", "2"]}.items():
        outcome = pretrain(leaking, *words, "--output", name)
        assert outcome.code == 0, outcome.err
        assert ("Rows are computed one by one" in outcome.err + outcome.out) == (name == "two")
    two, one = (losses(folder) for folder in sorted((leaking.folder / "runs").iterdir()))
    assert len(two) == 2
    assert [value for step in two for value in step] == pytest.approx([value for step in one for value in step], rel=1e-5)
    first = min((leaking.folder / "runs").iterdir())
    assert not json.loads((first / "parallel.json").read_text())["rows"]["together"]
    assert "rows per forward pass</th><td>one (" in (first / "report.html").read_text()


def test_packing_is_refused_before_training(leaking):
    outcome = pretrain(leaking, "--packing", "--max-length", "64", "--output", "out")
    assert outcome.code == 2
    assert "--packing" in outcome.err
    assert "depend on the others" in outcome.err
    assert not (leaking.folder / "out").exists()
