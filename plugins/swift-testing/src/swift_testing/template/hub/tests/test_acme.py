"""A checkpoint is packed into an archive and unpacked from it, and swift can fetch it."""

from __future__ import annotations

import pytest
from swift_plugin_acme.hub import Acme

from swift_core.contract import UsageError, parse_reference
from swift_core.plugins import checkpoint_files


@pytest.fixture
def archive(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    place = parse_reference(f"acme:{tmp_path / 'model.zip'}")
    Acme().push(tiny_model, place, message="", private=True)
    return place


def test_a_packed_checkpoint_is_unpacked(archive, tiny_model):
    folder = Acme().fetch(archive, select=checkpoint_files)
    assert {path.name for path in folder.iterdir()} == {path.name for path in tiny_model.iterdir()}
    assert (folder / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert Acme().fetch(archive, select=checkpoint_files) == folder


def test_only_selected_files_are_unpacked(archive):
    assert [path.name for path in Acme().fetch(archive, select=lambda names: ["config.json"]).iterdir()] == ["config.json"]


def test_a_missing_archive_is_a_user_s_error(tmp_path):
    with pytest.raises(UsageError, match="no such archive"):
        Acme().fetch(parse_reference(f"acme:{tmp_path / 'none.zip'}"), select=checkpoint_files)


def test_swift_fetches_from_it(archive, swift_project):
    outcome = swift_project.run("fetch", str(archive), "--json")
    outcome.assert_success()
    assert "home/acme" in outcome.json()["output"]
