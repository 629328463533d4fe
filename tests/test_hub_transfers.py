"""Checkpoints from and to a hub as a user moves them: a third party's format, identity without reading, and `swift push`."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from swift_provenance.signing import sign, verify
from swift_testing.hugging_face import COMMIT, HuggingFaceServer
from swift_testing.rig import write_tiny_model

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.system import hashes

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "format_plugin.py"
TOKEN = "hf_secretsecret"
pytestmark = pytest.mark.usefixtures("cold")  # the address of the hub is read at import


@pytest.fixture
def hub(swift):
    with HuggingFaceServer() as server:
        cache = str(swift.folder / "cache")
        swift.env |= {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": cache, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}
        yield server


@pytest.fixture
def adapter(swift) -> Path:
    """An adapter with a manifest, as training writes it."""
    folder = swift.folder / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (folder / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    manifest = Manifest(
        kind="adapter",
        origin="sft",
        licence="Apache-2.0",
        base={"reference": "hf:org/base@abc", "hash": "c0ffee", "path": "/home/me/base"},
        tuner={"name": "lora", "options": {"rank": 8}},
        figures={"loss": 1.25},
    )
    write_manifest(folder, manifest)
    return folder


def test_a_third_partys_format_comes_from_a_hub(swift, hub):
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones((2, 2)))
    hub.repositories["org/arrays"] = {
        "config.json": b"{}", "weights.npz": buffer.getvalue(), "README.md": b"# A", "other.h5": b"x", "run.py": b"raise SystemExit",
    }  # fmt: skip
    refused = swift("fetch", "org/arrays")
    assert (refused.code, "PLUGIN-012" in refused.err, "weights.npz" in refused.err) == (2, True, True)
    fetched = swift("--plugin", str(EXAMPLE), "fetch", "org/arrays", "--json")
    assert fetched.code == 0, fetched.err
    folder = Path(json.loads(fetched.out)["output"])
    assert {path.name for path in folder.iterdir()} == {"config.json", "weights.npz", "README.md"}
    done = swift("--plugin", str(EXAMPLE), "norms", f"hf:org/arrays@{COMMIT}")
    assert (done.code, "weight: 2" in done.out) == (0, True)


def test_the_identity_of_a_downloaded_checkpoint_reads_no_weights(swift, hub, monkeypatch):
    weights = b"\2\0\0\0\0\0\0\0{}" + b"w" * 2_000_000
    hub.repositories["org/adapter"] = {"adapter_config.json": b"{}", "adapter_model.safetensors": weights}
    folder = swift.folder / "cache" / "models--org--adapter" / "snapshots" / COMMIT
    swift("fetch", "hf:org/adapter")  # refused, since the header does not fit; the files are there
    read = []
    original = hashes._read
    monkeypatch.setattr(hashes, "_read", lambda path, step: (read.append(path.stat().st_size), original(path, step))[1])
    hashed = Checkpoint.at(folder).hash()
    assert hashed
    assert sum(read) == 2, "only the two bytes of adapter_config.json are read"


def test_a_plan_downloads_no_weights(swift, hub, tmp_path):
    """Headers by range requests, and the small files; the weight file that stands for it has its size, and takes no space."""
    model = write_tiny_model(tmp_path / "model", vocab_size=40_000)
    hub.repositories["org/model"] = {path.name: path.read_bytes() for path in model.iterdir()}
    weights = (model / "model.safetensors").stat().st_size
    assert weights > 10_000_000
    planned = swift("plan", "sft", "hf:org/model", "--device", "rtx3090", "--no-trace", "--json")
    assert planned.code == 0, planned.err
    found = json.loads(planned.out)
    assert found["model"] == "hf:org/model"
    assert found["disk"]["download"] == pytest.approx(weights, rel=0.01)
    assert found["phases"][0]["parts"]["weights"] == pytest.approx(weights, rel=0.01)
    assert hub.sent < weights / 10


def test_a_hash_that_a_hub_states_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    file = tmp_path / "model.bin"
    file.write_bytes(b"x" * 1_500_000)
    hashes.remember_sha256(file, "a" * 64)
    assert hashes.sha256_of([file]) == {file: "a" * 64}
    time.sleep(0.01)
    file.write_bytes(b"y" * 1_500_000)
    assert hashes.sha256_of([file]) != {file: "a" * 64}


def test_an_adapter_is_pushed_with_a_model_card_and_comes_back(swift, hub, adapter):
    (adapter / "notes.log").write_text("private")
    swift.env["HF_TOKEN"] = TOKEN
    pushed = swift("push", "adapter", "hf:org/mine", "--private", "--json")
    assert pushed.code == 0, pushed.err
    files = hub.repositories["org/mine"]
    assert set(files) == {"README.md", "adapter_config.json", "adapter_model.safetensors", "swift.json"}
    assert set(files) == set(json.loads(pushed.out)["files"])
    assert hub.private == {"org/mine"}
    assert hub.tokens == {TOKEN}
    assert TOKEN not in pushed.out + pushed.err
    card = files["README.md"].decode()
    assert all(text in card for text in ('license: "apache-2.0"', 'base_model: "org/base"', "lora (rank=8)", "| loss | 1.25 |"))
    assert b"/home/me" not in b"".join(files.values())
    swift("fetch", "hf:org/mine")  # its base is not there
    assert Checkpoint.at(swift.folder / "cache/models--org--mine/snapshots" / COMMIT).hash() == Checkpoint.at(adapter).hash()


def test_a_signed_checkpoint_is_pushed_as_it_was_signed(swift, hub, adapter):
    (adapter / "notes.txt").write_text("signed too")
    key, public = ec.generate_private_key(ec.SECP256R1()), swift.folder / "key.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (swift.folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    sign(adapter, swift.folder / "key.pem")
    swift.env["HF_TOKEN"] = TOKEN
    pushed = swift("push", "adapter", "hf:org/mine", "--private")
    assert pushed.code == 0, pushed.err
    copy = swift.folder / "copy"
    for name, content in hub.repositories["org/mine"].items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    verify(copy, public)


def test_a_dry_run_lists_the_files_and_asks_nothing(swift, hub, adapter):
    listed = swift("push", "adapter", "hf:org/mine", "--dry-run")
    assert (listed.code, "adapter_model.safetensors" in listed.out, "README.md" in listed.out) == (0, True, True)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("case", "code"),
    [("pickle", "HUB-043"), ("no token", "HUB-044"), ("public", "HUB-045"), ("no owner", "HUB-041"), ("package index", "HUB-032")],
)
def test_what_is_not_pushed(swift, hub, adapter, case, code):
    swift.env["HF_TOKEN"] = "" if case == "no token" else TOKEN
    target = {"no owner": "hf:mine", "package index": "pypi:org/mine"}.get(case, "hf:org/mine")
    if case == "pickle":
        (adapter / "training_args.bin").write_bytes(b"\x80\x02")
    if case == "public":
        hub.repositories["org/mine"] = {"README.md": b"old"}
    refused = swift("push", "adapter", target, "--private")
    assert (refused.code, f"SWIFT-{code}" in refused.err) == (2, True), refused.err
    assert TOKEN not in refused.err
    assert hub.repositories in ({}, {"org/mine": {"README.md": b"old"}})
