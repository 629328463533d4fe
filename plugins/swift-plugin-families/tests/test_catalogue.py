"""The catalogue of models, as `swift models search` and `show` print it."""

from __future__ import annotations

import json

import pytest
from swift_hub.catalogue import CatalogueEntry, catalogue

from swift_core.cli import invoke


def test_native_entries_have_a_class_in_transformers() -> None:
    from transformers.models.auto import modeling_auto

    tables = [getattr(modeling_auto, name) for name in dir(modeling_auto) if name.endswith("_MAPPING_NAMES")]
    classes = {name for table in tables for value in table.values() for name in ((value,) if isinstance(value, str) else value)}
    for entry in catalogue():
        assert (entry.architecture in classes) == (entry.code == "native"), entry
        assert bool(entry.architecture) == (entry.code != "other"), entry


def test_ids_are_unique_and_have_an_owner() -> None:
    references = [reference for entry in catalogue() for reference in entry.references]
    assert len(references) > 2000
    assert all(reference.count("/") == 1 for reference in references)
    entries: dict[str, CatalogueEntry] = {}
    for entry in catalogue():
        for reference in entry.references:
            assert entries.setdefault(reference, entry).architecture == entry.architecture


def test_search_names_the_loader_and_the_native_twin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert invoke(["models", "search", "InternVL3-1B"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("OpenGVLab/")}
    assert "--trust-remote-code" in lines["OpenGVLab/InternVL3-1B"]
    assert "OpenGVLab/InternVL3-1B-hf" in lines["OpenGVLab/InternVL3-1B"]
    assert "internvl" in lines["OpenGVLab/InternVL3-1B-hf"]
    assert "--trust-remote-code" not in lines["OpenGVLab/InternVL3-1B-hf"]


def test_search_as_json_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["models", "search", "qwen", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "qwen3" in [family["name"] for family in found["families"]]
    assert len(found["models"]) > 100
    assert all("qwen" in " ".join((model["hugging_face"], model["modelscope"], model["architecture"])).lower() for model in found["models"])


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "ms:Qwen/Qwen3-0.6B"])
def test_show_takes_an_id(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["models", "show", name]) == 0
    out = capsys.readouterr().out
    assert "architecture: Qwen3ForCausalLM" in out
    assert "family: qwen3" in out


def test_search_without_a_match_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["models", "search", "no such model"]) == 2
    assert "SWIFT-HUB-003" in capsys.readouterr().err


def test_models_are_verified_by_the_record_of_their_class(capsys: pytest.CaptureFixture[str]) -> None:
    verified = {entry.code: {each.verified for each in catalogue() if each.code == entry.code} for entry in catalogue()}
    assert verified == {"native": {True, False}, "remote": {False}, "other": {False}}
    assert invoke(["models", "show", "Qwen/Qwen3-0.6B"]) == 0
    assert "verified: True" in capsys.readouterr().out
