"""A checkpoint that can't be used is refused before any work, with a sentence for each fault; one that can is hashed once."""

from __future__ import annotations

import json
import os
import shutil
import struct
import threading
from pathlib import Path

import pytest
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model

from swift_core.checkpoints import Checkpoint, manifest
from swift_core.checkpoints.fetch import Fetcher
from swift_core.contract.errors import UsageError
from swift_core.plugins.registered import registry
from swift_core.runs.convert import converted
from swift_core.system import hashes


@pytest.fixture
def copied(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def resolved(folder):
    return Fetcher(registry()).model(str(folder), "model")[0]


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def header_of(file):
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_weights(file, header, data):
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def no_config(folder):
    (folder / "config.json").write_text("{not json")


def no_type(folder):
    (folder / "config.json").write_text("{}")


def a_list(folder):
    (folder / "config.json").write_text("[]")


def broken_generation(folder):
    (folder / "generation_config.json").write_text("temperature: 1")


def pointer_weights(folder):
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0".ljust(130))


def pointer_tokenizer(folder):
    (folder / "tokenizer.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0".ljust(130))


def truncated(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def no_index(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00003.safetensors")


def another_name(folder):
    (folder / "model.safetensors").rename(folder / "weights.safetensors")


def absent_shards(folder):
    places = dict.fromkeys(header_of(folder / "model.safetensors")[0], "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def shard_elsewhere(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))


def index_of_another(folder):
    places = dict.fromkeys(["model.norm.weight", "model.layers.9.mlp.up_proj.weight"], "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def int8_weights(folder):
    header, data = header_of(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    header[name] |= {"dtype": "I8", "shape": [header[name]["shape"][0], header[name]["shape"][1] * 4]}
    write_weights(folder / "model.safetensors", header, data)


def more_tokens(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    added = {"id": 999, "content": "<|far|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    edit(folder / "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], added])


def link_to_nothing(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(folder / "gone")


def folder_for_a_file(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def header_without_places(folder):
    write_weights(folder / "model.safetensors", {"a": {"dtype": "F32"}}, b"")


def header_that_is_a_list(folder):
    write_weights(folder / "model.safetensors", [1, 2], b"")


def weights_twice(folder):
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    header, _ = header_of(folder / "model.safetensors")
    places = dict.fromkeys(header.keys() - {"__metadata__"}, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def empty_tokenizer_config(folder):
    (folder / "tokenizer_config.json").write_text("")


def no_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


def manifest_of_other_types(folder):
    (folder / "swift.json").write_text('{"schema": "x", "files": [1]}')


FAULTS = [
    (link_to_nothing, "config.json", "does not exist"),
    (folder_for_a_file, "model.safetensors", "a folder"),
    (header_without_places, "model.safetensors", "'a'"),
    (header_that_is_a_list, "model.safetensors", "not JSON"),
    (weights_twice, "", "two sets of weights"),
    (empty_tokenizer_config, "tokenizer_config.json", "not JSON"),
    (no_tokenizer, "tokenizer.json", "not a tokenizer"),
    (manifest_of_other_types, "swift.json", "not a manifest"),
    (no_config, "config.json", "not JSON"),
    (a_list, "config.json", "not a JSON object"),
    (no_type, "config.json", "model_type"),
    (broken_generation, "generation_config.json", "not JSON"),
    (pointer_weights, "model.safetensors", "Git LFS"),
    (pointer_tokenizer, "tokenizer.json", "Git LFS"),
    (truncated, "model.safetensors", "truncated"),
    (no_index, "", "1 of 3 shards, and no index"),
    (another_name, "", "weights.safetensors"),
    (absent_shards, "", "1 of 1 weight files are missing"),
    (shard_elsewhere, "model.safetensors.index.json", "outside"),
    (index_of_another, "model.safetensors.index.json", "layers.9"),
    (int8_weights, "", "stored as I8"),
    (more_tokens, "tokenizer.json", "'<|far|>' (id 999)"),
]


@pytest.mark.parametrize(("break_it", "where", "said"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_each_fault_is_reported_before_any_work(break_it, where, said, copied):
    break_it(copied)
    with pytest.raises(UsageError) as refused:
        resolved(copied)
    assert said in refused.value.message
    assert refused.value.where == str(copied / where)
    assert refused.value.hint


def test_a_whole_checkpoint_is_taken(copied):
    assert resolved(copied).format == "safetensors"
    header, data = header_of(copied / "model.safetensors")
    write_weights(copied / "model.safetensors", header | {"rotary.steps": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, data)
    assert resolved(copied).format == "safetensors"  # counters are no weights
    int8_weights(copied)
    edit(copied / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    assert resolved(copied).format == "safetensors"


@pytest.mark.slow
def test_the_command_line_tells_the_fault(copied, swift):
    int8_weights(copied)
    (swift.folder / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    reported = swift("sft", "--model", str(copied), "--dataset", "rows.jsonl", "--dry-run")
    assert (reported.code, "quantization_config" in reported.err) == (2, True)


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    """A folder with one big file, old enough to be remembered, and the files that were read for a hash."""
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hashes, "_SMALL", 10)
    read = []
    original = hashes._read
    monkeypatch.setattr(hashes, "_read", lambda path, step: (read.append(path.name), original(path, step))[1])
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    os.utime(folder / "model.safetensors", (1, 1))
    return folder, read


def test_a_big_file_is_read_once(hashed):
    folder, read = hashed
    reported = []
    first = Checkpoint.at(folder).hash(lambda *words: reported.append(words))
    assert Checkpoint.at(folder).hash() == first
    assert read == ["model.safetensors"]
    assert reported == [("hashing the checkpoint", 1000, 1000)]


def test_a_changed_file_is_read_again(hashed):
    folder, read = hashed
    first = Checkpoint.at(folder).hash()
    (folder / "model.safetensors").write_bytes(b"y" * 1000)
    assert Checkpoint.at(folder).hash() != first  # the same size
    second = Checkpoint.at(folder).hash()  # changed just now: not remembered yet
    os.utime(folder / "model.safetensors", (2, 2))
    assert Checkpoint.at(folder).hash() == Checkpoint.at(folder).hash() == second
    assert len(read) == 3


def test_hugging_faces_cache_says_the_hash(hashed, tmp_path):
    folder, read = hashed
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    true = hashes.sha256_of([folder / "model.safetensors"])[folder / "model.safetensors"]
    (folder / "model.safetensors").rename(blobs / true)
    (folder / "model.safetensors").symlink_to(blobs / true)
    read.clear()
    assert manifest.hash_files(folder) == {"model.safetensors": true}
    assert read == []


def test_a_cache_that_cannot_be_written_is_no_fault(hashed, monkeypatch):
    folder, _ = hashed
    home = Path(os.environ["SWIFT_HOME"])
    home.write_text("a file")
    assert Checkpoint.at(folder).hash() == Checkpoint.at(folder).hash()


def test_two_first_uses_convert_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "tiny.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    began, go, notes = [], threading.Event(), []

    def convert(run, runs, *, watch=None):
        began.append(run.verb)
        go.wait(20)
        out = Path(run.options["output"])
        with manifest.paths.atomic_folder(out) as folder:
            (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
            (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
            manifest.write_manifest(folder, manifest.Manifest())

    monkeypatch.setattr("swift_core.runs.convert.execute", convert)
    found = []

    def use():
        reported = lambda what, done, total: notes.append(what)  # noqa: E731
        found.append(Fetcher(registry(), progress=reported, convert=converted).source(str(tmp_path / "gguf"), "model"))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if any("waiting" in note for note in notes):
            break
        threads[0].join(0.05)
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(began) == 1
    assert found[0] == found[1]
    assert sum("waiting" in note for note in notes) == 1


def test_a_path_in_a_folder_that_exists_is_no_hubs_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "tiger").mkdir(parents=True)
    with pytest.raises(UsageError, check=coded("CKPT-033"), match=r"'tigre'.*'models'") as refused:
        Fetcher(registry()).source("models/tigre", "model")
    assert "'tiger'" in refused.value.hint
    assert "hf:models/tigre" in refused.value.hint


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["infer", "m", "rows.jsonl"], "swift infer m --dataset rows.jsonl"),
        (["sft", "m", "rows.jsonl"], "swift sft m --dataset rows.jsonl"),
        (["export", "m", "gguf"], "swift export m --to gguf"),
        (["merge", "m", "adapter"], "swift merge m --adapter adapter"),
        (["serve", "m", "n"], "swift serve --help"),
    ],
)
def test_a_surplus_argument_is_reported_with_the_right_command(words, typed, tmp_path, monkeypatch, capsys):
    from swift_core.cli import invoke

    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert invoke(words) == 2  # not `main`, which leaves its process deaf to Ctrl-C
    assert typed in capsys.readouterr().err


def test_an_output_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("out", "dangling"):
        with pytest.raises(UsageError, check=coded("FILE-003")) as refused:
            manifest.paths.check_free(tmp_path / name, overwrite=True)
        assert "--output" in refused.value.hint


ROWS = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


@pytest.mark.slow
def test_a_generation_config_that_contradicts_itself_does_not_end_a_merge(copied, swift):
    edit(copied / "generation_config.json", temperature=0.9, top_p=0.6)  # as Vicuna's and Llama 2's
    (swift.folder / "rows.jsonl").write_text(ROWS)
    tuned = swift("sft", "--model", str(copied), "--dataset", "rows.jsonl", "--max-steps", "1", "--output", "adapter")
    assert tuned.code == 0, tuned.err
    assert "note:" in tuned.err
    assert "do_sample was set to true" in tuned.err
    merged = swift("merge", "adapter", "--output", "merged")
    assert merged.code == 0, merged.err
    stored = json.loads((swift.folder / "merged" / "generation_config.json").read_text())
    assert (stored["do_sample"], stored["temperature"], stored["top_p"]) == (True, 0.9, 0.6)


@pytest.mark.slow
def test_an_export_that_cannot_be_compared_is_made_and_says_so(tmp_path, swift):
    write_tiny_model(tmp_path / "biased", attention_bias=True)
    done = swift("export", "biased", "--to", "gguf", "--output", "out")
    assert done.code == 0, done.err
    assert list((tmp_path / "out").glob("*.gguf"))
    assert ".bias" in done.err


def test_values_that_transformers_does_not_read_are_left_out_of_a_generation_config(tmp_path):
    from swift_formats.generation_config import readable_generation_config
    from transformers import GenerationConfig

    file = tmp_path / "generation_config.json"
    assert readable_generation_config(tmp_path, GenerationConfig) == (None, "")
    file.write_text(json.dumps({"eos_token_id": 2, "temperature": 0.6}))
    assert readable_generation_config(tmp_path, GenerationConfig) == (None, "")
    file.write_text(json.dumps({"eos_token_id": 2, "early_stopping": "soon", "max_new_tokens": -5}))
    config, left_out = readable_generation_config(tmp_path, GenerationConfig)
    assert config.eos_token_id == 2
    assert "early_stopping" in left_out
    assert "max_new_tokens" in left_out


def test_an_incomplete_adapter_is_reported_before_any_work(tmp_path):
    file = tmp_path / "adapter_config.json"
    for weights, said in (("adapter_model.bin", "pickled"), ("adapter_model.safetensors", "not a safetensors file")):
        file.write_text("{}")
        (tmp_path / weights).write_bytes(b"x")
        with pytest.raises(UsageError, match=said):
            Fetcher(registry()).source(str(tmp_path), "adapter")
    file.unlink()
    with pytest.raises(UsageError, check=coded("CKPT-003"), match=r"no adapter_config\.json") as refused:
        Fetcher(registry()).source(str(tmp_path), "adapter")
    assert "hub" not in refused.value.hint
    file.write_text("[]")
    with pytest.raises(UsageError, check=coded("CKPT-014"), match="not a JSON object"):
        Fetcher(registry()).source(str(tmp_path), "adapter")
