"""Signatures: the stock verifier reads ours, and a checkpoint that is not the signed one is neither verified nor served."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from swift_core.checkpoints import Checkpoint, hash_files, write_manifest
from swift_core.checkpoints.manifest import Manifest
from tests.here import swift_here

pytest.importorskip("model_signing")


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(tmp_path, tiny_model):
    """A signed checkpoint with a manifest, and the keys in the folder beside it."""
    shutil.copytree(tiny_model, tmp_path / "model")
    write_manifest(tmp_path / "model", Manifest(origin="test"))
    pair(tmp_path, "key")
    pair(tmp_path, "other")
    code, out, err = swift_here(tmp_path, "sign", "model", "--key", "key.pem")
    assert (code, out) == (0, "signature: model/model.sig\n"), err
    return tmp_path


def verify(folder: Path, *words: str) -> int:
    return swift_here(folder, "verify", "model", "--key", "key.pub", *words)[0]


def test_the_stock_verifier_reads_the_signature(signed):
    words = ["verify", "key", "model", "--signature", "model/model.sig", "--public_key"]
    stock = [sys.executable, "-m", "model_signing", *words]
    assert subprocess.run([*stock, "key.pub"], cwd=signed, check=False, capture_output=True).returncode == 0
    assert subprocess.run([*stock, "other.pub"], cwd=signed, check=False, capture_output=True).returncode != 0
    statement = json.loads(b64decode(json.loads((signed / "model" / "model.sig").read_text())["dsseEnvelope"]["payload"]))
    hashes = {each["name"]: each["digest"] for each in statement["predicate"]["resources"]}
    manifest = Checkpoint.at(signed / "model").manifest
    assert manifest.files == hash_files(signed / "model")
    assert manifest.files.items() <= hashes.items()


def test_a_signature_of_the_stock_tool_is_verified(signed):
    stock = [sys.executable, "-m", "model_signing", "sign", "key", "model", "--signature", "model/model.sig", "--private_key", "key.pem"]
    (signed / "model" / "model.sig").unlink()
    assert verify(signed) == 2
    subprocess.run(stock, cwd=signed, check=True, capture_output=True)
    assert verify(signed) == 0


CHANGES = {
    "a byte": lambda model: (model / "config.json").write_text((model / "config.json").read_text() + " "),
    "a file more": lambda model: (model / "evil.py").write_text("print(1)"),
    "a file less": lambda model: (model / "tokenizer.json").unlink(),
    "a renamed file": lambda model: (model / "tokenizer.json").rename(model / "tokenizer2.json"),
    "a link": lambda model: ((model / "tokenizer.json").rename(model.parent / "t"), (model / "tokenizer.json").symlink_to("../t")),
    "the signature": lambda model: (model / "model.sig").write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_checkpoint_is_neither_verified_nor_served(change, signed):
    serve = ("serve", "model", "--require-signature", "key.pub", "--dry-run")
    assert verify(signed) == 0
    assert swift_here(signed, *serve)[0] == 0
    CHANGES[change](signed / "model")
    if change != "a link":  # the same bytes by another way
        assert verify(signed) == 1
        code, _, err = swift_here(signed, *serve)
        assert (code, "SWIFT-" in err) == (2, True)


def test_another_key_does_not_do(signed):
    assert swift_here(signed, "verify", "model", "--key", "other.pub")[0] == 1
    code, _, err = swift_here(signed, "serve", "model", "--require-signature", "other.pub", "--dry-run")
    assert (code, "SWIFT-AUDIT-014" in err) == (2, True)
    swift_here(signed, "sign", "model", "--key", "other.pem")
    assert verify(signed) == 1


def test_mistakes_are_named(signed):
    for words, said in (
        (("sign", "absent", "--key", "key.pem"), "AUDIT-016"),
        (("sign", "model", "--key", "absent.pem"), "AUDIT-017"),
        (("sign", "model", "--key", "key.pub"), "AUDIT-018"),
        (("sign", "model"), "AUDIT-019"),
        (("verify", "model"), "AUDIT-020"),
        (("verify", "model", "--key", "model/config.json"), "AUDIT-018"),
        (("serve", "model", "--require-signature", "key.pub", "--runtime-adapters", "--dry-run"), "SERVE-"),
    ):
        code, _, err = swift_here(signed, *words)
        assert (code, said in err) == (2, True), (words, err)


def test_one_file_can_be_signed(signed):
    file = signed / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    assert swift_here(signed, "sign", "model.gguf", "--key", "key.pem")[1] == "signature: model.gguf.sig\n"
    assert swift_here(signed, "verify", "model.gguf", "--key", "key.pub")[0] == 0
    file.write_bytes(b"GGUF" + bytes(101))
    assert swift_here(signed, "verify", "model.gguf", "--key", "key.pub")[0] == 1
