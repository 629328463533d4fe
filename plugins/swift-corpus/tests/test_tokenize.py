"""`swift data tokenize`: shards that a training reads as it would the rows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from swift_corpus import part_work
from swift_corpus.dataset import TokensDataset
from swift_corpus.options import TokensOptions

from swift_core import SwiftError
from swift_core.cli import invoke

WORDS = [
    "snow",
    "road",
    "ice",
    "warning",
    "plough",
    "salt",
    "bridge",
    "night",
    "wind",
    "cold",
    "school",
    "train",
    "river",
    "people",
    "shovel",
    "light",
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=12)) for _ in range(80)]
    write("rows.jsonl", [{"messages": [{"role": "user", "content": f"{text}?"}, {"role": "assistant", "content": text}]} for text in texts])
    return tmp_path


@pytest.fixture
def tokenize(folder, tiny_model, capsys):
    def tokenize(*words: str, output: str = "rows.tokens", dataset: str = "rows.jsonl", code: int = 0) -> dict:
        capsys.readouterr()
        command = ["data", "tokenize", dataset, "--task", "sft", "--model", str(tiny_model), "--output", output, "--rows-per-shard", "30"]
        assert invoke([*command, "--json", *words]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return json.loads(out)

    return tokenize


def write(name: str, rows: list) -> None:
    Path(name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def losses(run: dict) -> list[float]:
    lines = map(json.loads, (Path(run["folder"]) / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def test_a_training_on_shards_is_the_one_on_the_rows(tokenize, tiny_model, capsys):
    done = tokenize()
    assert (done["rows"], done["sequences"], done["shards"], done["left_out"]) == (80, 80, 3, {})

    def train(*words: str) -> dict:
        capsys.readouterr()
        command = ["sft", "--model", str(tiny_model), "--max-steps", "4", "--batch-size", "4", "--device", "cpu", "--json"]
        assert invoke([*command, "--validation-ratio", "0.1", *words]) == 0
        return json.loads(capsys.readouterr().out)

    rows, shards = train("--dataset", "rows.jsonl"), train("--dataset", "rows.tokens")
    assert losses(rows) == losses(shards)
    assert [(Path(run["folder"]) / "held_out.json").read_text() for run in (rows, shards)].count(
        (Path(rows["folder"]) / "held_out.json").read_text()
    ) == 2
    streamed = train("--dataset", "rows.tokens", "--data.streaming", "--validation-ratio", "0")
    assert len(losses(streamed)) == 4


def test_what_was_finished_is_kept(tokenize, monkeypatch):
    whole = tokenize(output="other.tokens")
    honest = part_work.TokenizePart.__call__

    def dies(self, item):
        if item["number"] == 2:
            raise KeyboardInterrupt
        return honest(self, item)

    with monkeypatch.context() as patch:
        patch.setattr(part_work.TokenizePart, "__call__", dies)
        with pytest.raises((KeyboardInterrupt, AssertionError)):
            tokenize()
    assert not Path("rows.tokens/index.json").exists()
    with pytest.raises(SwiftError, match="run its command again"):
        TokensDataset(TokensOptions(path="rows.tokens")).fetch()
    before = [Path(f"rows.tokens/00000{number}/ids.bin").stat().st_mtime_ns for number in (0, 1)]
    Path("rows.tokens/000002").mkdir()  # as a process leaves it that is killed on a disk without renames
    assert tokenize()["digest"] == whole["digest"]
    assert [Path(f"rows.tokens/00000{number}/ids.bin").stat().st_mtime_ns for number in (0, 1)] == before
    for number in range(3):
        assert Path(f"rows.tokens/00000{number}/ids.bin").read_bytes() == Path(f"other.tokens/00000{number}/ids.bin").read_bytes()
    assert tokenize(code=2)["code"]  # it is there
    assert tokenize("--rows-per-shard", "40", code=2)["code"]  # another one is there
    assert tokenize("--rows-per-shard", "40", "--overwrite")["shards"] == 2


def test_rows_that_are_left_out(tokenize):
    pytest.importorskip("datasketch")
    rows = Path("rows.jsonl").read_text().splitlines()
    twin = json.loads(rows[40])
    twin["messages"][1]["content"] += " now"
    question = json.loads(rows[5])["messages"][1]["content"]
    write("more.jsonl", [*rows, json.dumps(twin), "{broken"])
    write("eval.jsonl", [{"text": question}])
    words = ("--near-duplicates", "0.7", "--against", "eval.jsonl")
    assert "more.jsonl, row 82" in tokenize(*words, dataset="more.jsonl", code=2)["where"]
    done = tokenize(*words, "--data.on-error", "skip", "--data.max-skipped", "2%", dataset="more.jsonl", output="b.tokens")
    assert done["left_out"] == {"contains a question of the evaluation data": 1, "resembles an earlier row": 1}
    assert (done["skipped"], done["sequences"]) == (1, 79)
    assert json.loads(Path("b.tokens/skipped_rows.jsonl").read_text())["row"] == 82
    few = tokenize(*words, "--data.on-error", "skip", "--data.max-skipped", "0", dataset="more.jsonl", output="c.tokens", code=2)
    assert few["code"] == "DATA-019"
    assert not Path("b.tokens/.near-duplicates").exists()


def test_an_object_store(tokenize):
    here, there = tokenize(), tokenize(output="memory://corpus/rows.tokens")
    assert there["digest"] == here["digest"]
    facts = json.loads(Path("rows.tokens/index.json").read_text())["facts"]
    local, remote = (TokensDataset(TokensOptions(path=path)) for path in ("rows.tokens", "memory://corpus/rows.tokens"))
    remote.fetch()
    for one, other, read in zip(local.stores(facts), remote.stores(facts), remote.shards(facts), strict=True):
        assert one.ids.tolist() == other.ids.tolist() == read().ids.tolist()
        assert [one.origin(index) for index in range(len(one))] == [other.origin(index) for index in range(len(one))]
    from fsspec.core import url_to_fs

    files, root = url_to_fs("memory://corpus/rows.tokens")
    files.pipe_file(f"{root}/000001/ids.bin", files.cat_file(f"{root}/000001/ids.bin")[::-1])
    with pytest.raises(SwiftError, match="damaged"):
        [read() for read in remote.shards(facts)]


def test_what_is_refused(tokenize, capsys, tiny_model):
    assert "must end in .tokens" in tokenize(output="rows", code=2)["message"]
    assert "there is no executor" in tokenize("--executor", "lokal", code=2)["message"]
    assert "not a store" in tokenize(output="nowhere://x.tokens", code=2)["message"]
    assert not Path("rows.tokens").exists()
    tokenize()
    command = ["sft", "--model", str(tiny_model), "--dataset", "rows.tokens", "--max-steps", "1", "--device", "cpu", "--json"]
    assert invoke([*command, "--max-length", "300"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert "max_length 512, here 300" in error["message"]
    assert invoke(["data", "check", "rows.tokens", "--json"]) == 1
    assert "tokenised rows" in capsys.readouterr().out
    Path("rows.tokens/000001/ids.bin").write_bytes(b"1234")
    facts = json.loads(Path("rows.tokens/index.json").read_text())["facts"]
    with pytest.raises(SwiftError, match="000001"):
        TokensDataset(TokensOptions(path="rows.tokens")).stores(facts)
