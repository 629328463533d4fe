"""Pooling read from sentence-transformers' files, the vectors it computes, and the rejection of unsupported poolings."""

from __future__ import annotations

import json

import pytest
import torch
from swift_formats.cross_encoder import LogitScore, write_logit_score
from swift_formats.sentence_transformers import Pooling, pooling_of
from swift_plugin_onnx import swift_check
from swift_plugin_onnx.architectures import export_method
from swift_plugin_onnx.pooling import pool
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry

OLD, NEW = "sentence_transformers.models", "sentence_transformers.base.modules.m"


def write(folder, pooling, *more, names=OLD, architecture="BertModel"):
    """Write the files of a sentence-transformers checkpoint, without weights."""
    kinds = ["Transformer", "Pooling", *more]
    places = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], 1))]
    modules = [
        {"idx": number, "name": str(number), "path": place, "type": f"{names}.{kind}"}
        for number, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "modules.json").write_text(json.dumps(modules))
    if not (folder / "model.safetensors").exists():
        (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
        (folder / "model.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("pooling", "more", "found"),
    [
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, [], Pooling("mean", False)),
        ({"pooling_mode_cls_token": True, "pooling_mode_lasttoken": False}, ["Normalize"], Pooling("cls", True)),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, ["Normalize"], Pooling("lasttoken", True)),
        ({"embedding_dimension": 8, "pooling_mode": "mean"}, ["Normalize"], Pooling("mean", True)),
    ],
)
def test_both_spellings_are_read(pooling, more, found, tmp_path):
    for names in (OLD, NEW):
        assert pooling_of(write(tmp_path, pooling, *more, names=names)) == found


def test_the_base_architecture_does_not_matter(tmp_path):
    for architecture in ("BertModel", "MPNetForMaskedLM", "Qwen3ForCausalLM"):
        (tmp_path / architecture).mkdir()
        assert export_method(write(tmp_path / architecture, {"pooling_mode": "mean"}, architecture=architecture)) == "embedder"
    assert pooling_of(tmp_path) is None


def test_a_language_model_that_is_asked_as_a_reranker_is_exported_as_one(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForCausalLM"]}))
    (tmp_path / "model.safetensors").touch()
    write_logit_score(tmp_path, LogitScore(5, 6))
    assert export_method(tmp_path) == "builder"


@pytest.mark.parametrize(
    ("pooling", "more", "message"),
    [
        ({"pooling_mode": "weightedmean"}, [], "its pooling is weightedmean"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, [], "its pooling is max and mean"),
        ({"pooling_mode": "mean"}, ["Dense"], "its modules are Transformer, Pooling, Dense"),
        ({"pooling_mode": "mean", "include_prompt": False}, [], "include_prompt"),
    ],
)
def test_unsupported_poolings_are_rejected(pooling, more, message, tmp_path):
    source = Source(reference="file:x", path=str(write(tmp_path, pooling, *more)), hash="", format="safetensors", family="")
    run = Run(verb="export", job="", model=source, parts={"exporter": registry().choose("exporter", "onnx", {})})
    (problem,) = swift_check(run)
    assert problem.fatal
    assert message in problem.message
    assert "mean, cls, lasttoken" in problem.hint


def test_a_broken_file_is_named(tmp_path):
    write(tmp_path, {"pooling_mode": "mean"})
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(UsageError, check=coded("EXPORT-052"), match="can't be read") as refused:
        pooling_of(tmp_path)
    assert "1_Pooling" in refused.value.where


def test_padding_does_not_change_the_vectors():
    """Padding may be on either side."""
    states = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]])
    rows = [states[number][mask[number].bool()] for number in range(3)]
    expected = {"mean": [row.mean(0) for row in rows], "cls": [row[0] for row in rows], "lasttoken": [row[-1] for row in rows]}
    for mode, vectors in expected.items():
        torch.testing.assert_close(pool(Pooling(mode, False), states, mask), torch.stack(vectors))
        unit = torch.stack([vector / vector.norm() for vector in vectors])
        torch.testing.assert_close(pool(Pooling(mode, True), states.half(), mask), unit, atol=1e-3, rtol=1e-3)
