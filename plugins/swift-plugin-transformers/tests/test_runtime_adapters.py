"""`swift adapter` on the embedded server: an adapter of our own training comes and goes, and must lie where the server may read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from swift_serve.client import Client, Refused
from swift_testing.serving import SwiftServe

from swift_core import sft

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_workers")]


def log_probability(server: SwiftServe, model: str) -> float:
    asked = {"model": model, "prompt": "Hi", "max_tokens": 1, "temperature": 0, "logprobs": 1}
    return Client(server.server).post("/completions", asked)["choices"][0]["logprobs"]["token_logprobs"][0]


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    (folder / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    done = sft(
        model=str(tiny_model),
        dataset=[str(folder / "rows.jsonl")],
        runs=str(folder / "runs"),
        max_steps=3,
        learning_rate=0.01,
        batch_size=1,
    )
    assert done.output
    return done.output


def foreign(trained: Path) -> Path:
    """The adapter, said to be of another base."""
    folder = Path(shutil.copytree(trained, trained.parent / "foreign"))
    manifest = json.loads((folder / "swift.json").read_text())
    (folder / "swift.json").write_text(json.dumps({**manifest, "base": {"reference": "hf:other/model", "hash": "0" * 64}}))
    return folder


def misfit(trained: Path) -> Path:
    """The adapter, with a weight that the model has no place for."""
    folder = Path(shutil.copytree(trained, trained.parent / "misfit"))
    file = folder / "adapter_model.safetensors"
    save_file({name.replace("layers.1.", "layers.7."): tensor for name, tensor in load_file(file).items()}, file)
    return folder


def test_an_adapter_comes_and_goes(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    words = [str(tiny_model), "--name", "base", "--runtime-adapters", "--adapter-folder", str(trained.parent)]
    with SwiftServe(tmp_path, *words) as server:
        folder = str(server.run_folder)
        added = server.adapter("add", folder, f"mine={trained}")
        assert added.code == 0, added.err
        assert log_probability(server, "mine") != log_probability(server, "base")
        assert json.loads(server.adapter("list", folder, "--json").out) == {"mine": "mine"}
        before = log_probability(server, "base")
        for name, why in ((foreign(trained), "the adapter was trained on"), (misfit(trained), "does not match the base model")):
            with pytest.raises(Refused, match=why):
                Client(server.server).post("/load_lora_adapter", {"lora_name": name.name, "lora_path": str(name)})
        assert log_probability(server, "base") == before
        assert server.adapter("add", folder, f"other={trained.parent / 'foreign'}").code == 2
        assert server.adapter("add", folder, f"other={trained.parent / 'foreign'}", "--allow-other-base").code == 0
        assert server.adapter("drop", folder, "other").code == 0
        elsewhere = shutil.copytree(trained, tmp_path / "elsewhere")
        refused = server.adapter("add", folder, f"other={elsewhere}")
        assert refused.code == 2
        assert "SWIFT-SERVE-087" in refused.err
        assert server.adapter("drop", folder, "mine").code == 0
        assert Client(server.server).models() == ["base"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--runtime-adapters",), "SWIFT-MODEL-003"),
        (("--runtime-weights",), "SWIFT-MODEL-003"),
        (("--adapter-folder", "runs"), "SWIFT-MODEL-004"),
    ],
)
def test_both_or_neither(words: tuple[str, ...], code: str, tiny_model: Path, tmp_path: Path) -> None:
    ended = SwiftServe(tmp_path, str(tiny_model), *words).run()
    assert ended.code == 2
    assert code in ended.err
