"""Models by the names that families give them."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from swift_core.checkpoints.fetch import Fetcher
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.contract.errors import UsageError
from swift_core.contract.specs import HubSpec, ModelFamily, Ref
from swift_core.plugins.loader import Plugin
from swift_core.plugins.registered import Entry, registry

HF = HubSpec(name="hf", summary="x", schemes=("hf",), default=True, factory=Ref("x:Y"))


class Known:
    """A registry of families alone."""

    def __init__(self, *families: ModelFamily) -> None:
        self.families = families

    def entries(self, kind):
        assert kind in ("family", ModelFamily, HubSpec)
        if kind is HubSpec:
            return [Entry(HF, Plugin(name="hubs", distribution="dist-hubs", version="1", target="t"))]
        return [Entry(spec, Plugin(name=spec.name, distribution=f"dist-{spec.name}", version="1", target="t")) for spec in self.families]

    def all(self, kind):
        return [entry.spec for entry in self.entries(kind)]


def family(name: str, **models: str) -> ModelFamily:
    return ModelFamily(name=name, summary="x", architectures=("LlamaForCausalLM",), models=models)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")  # a header, and no tensors
    monkeypatch.setattr(Fetcher, "folder", lambda self, reference, where: tmp_path)
    monkeypatch.setattr(Fetcher, "_check_remote_code", lambda *arguments: None)
    return tmp_path


def test_a_name_stands_for_its_reference_and_its_family(folder):
    known = Known(family("another"), family("moon", small="hf:org/moon@abc"))
    source = Fetcher(known).source("small", "model")
    assert (source.reference, source.family, source.plugin) == ("hf:org/moon@abc", "moon", "moon")
    assert Fetcher(known).source("hf:org/moon@abc", "model").family == "another"  # not named: the first that claims it


def test_what_was_made_of_a_family_is_of_it(folder):
    """A merged model calls itself as transformers' class is called; its manifest has the family that the user named."""
    write_manifest(folder, Manifest(family="moon"))
    assert Fetcher(Known(family("another"), family("moon"))).source("x:y", "model").family == "moon"
    assert Fetcher(Known(family("another"))).source("x:y", "model").family == "another"  # its plugin is not here any more


def test_a_path_wins(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "small").mkdir()
    known = Known(family("another"), family("moon", small="hf:org/moon@abc"))
    assert Fetcher(known).source("small", "model").reference == "file:small"


def test_two_of_one_name_are_an_error(folder):
    known = Known(family("moon", small="hf:org/moon"), family("sun", small="hf:org/sun"))
    with pytest.raises(UsageError, match="two families have a model 'small': dist-moon and dist-sun") as error:
        Fetcher(known).source("small", "model")
    assert error.value.hint == "Write the reference: hf:org/moon or hf:org/sun."


def test_the_base_of_an_adapter_is_of_the_adapters_hub(tmp_path, tiny_model, inline_plugin):
    """A bare name means something else on another hub."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (adapter / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")  # a header, and no tensors
    asked = []

    class Hub:
        def __init__(self, options):
            pass

        def fetch(self, reference, **_):
            asked.append(str(reference))
            return adapter if reference.name == "org/adapter" else tiny_model

    sys.modules["a_hub"] = types.SimpleNamespace(Hub=Hub)
    inline_plugin(swift_hubs=lambda: [HubSpec(name="zz", summary="Z.", schemes=("zz", "yy"), factory=Ref("a_hub:Hub"))])
    try:
        Fetcher(registry(), hub="yy").model("zz:org/adapter")
        Fetcher(registry(), hub="yy").model(str(adapter))
    finally:
        del sys.modules["a_hub"]
    assert asked == ["zz:org/adapter", "zz:org/base", "yy:org/base"]
