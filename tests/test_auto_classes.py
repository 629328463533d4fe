"""A plugin's own architecture and its own loader, from one local file: trained, merged, verified and served, without remote code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from swift_testing.codes import coded

from swift_core.api import resolved
from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.specs import LoaderSpec, ModelFamily, Ref

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = '''
from swift_core import hookimpl
from swift_core.contract.specs import LoaderSpec, ModelFamily, Ref


@hookimpl
def swift_families():
    return [
        ModelFamily(
            name="moon", summary="Moon", architectures=("MoonForCausalLM",), model_types=("moon",), targets=("q_proj", "v_proj"),
            classes={"AutoConfig": Ref("moon_plugin:MoonConfig"), "AutoModelForCausalLM": Ref("moon_plugin:MoonForCausalLM")},
        )
    ]


@hookimpl
def swift_loaders():
    return [LoaderSpec(name="aaa", summary="Turns logits round", factory=Ref("moon_plugin:Loader"), reads=("safetensors",))]


class Loader:
    """What it loads answers otherwise than what transformers loads: who forgets it is found out."""

    def __init__(self, options):
        pass

    def load(self, checkpoint, family, loading):
        from swift_plugin_transformers.loader import TransformersLoader

        loaded = TransformersLoader().load(checkpoint, family, loading)
        loaded.model.lm_head.register_forward_hook(lambda module, given, output: -output)
        return loaded


def __getattr__(name):
    if name not in ("MoonConfig", "MoonForCausalLM"):
        raise AttributeError(name)
    from transformers import LlamaConfig, LlamaForCausalLM

    class MoonConfig(LlamaConfig):
        model_type = "moon"

    class MoonForCausalLM(LlamaForCausalLM):
        config_class = MoonConfig

    globals().update(MoonConfig=MoonConfig, MoonForCausalLM=MoonForCausalLM)
    return globals()[name]
'''


@pytest.fixture
def moon(swift, tiny_model) -> Path:
    folder = Path(shutil.copytree(tiny_model, swift.folder / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "moon", "architectures": ["MoonForCausalLM"]}))
    (swift.folder / "moon_plugin.py").write_text(PLUGIN)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    (swift.folder / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    return folder


@pytest.mark.slow
def test_an_own_architecture_and_an_own_loader_to_the_end(swift, moon):
    plugin = ("--plugin", "moon_plugin.py")
    words = ("--model", "model", "--dataset", "rows.jsonl", "--max-steps", "3", "--learning-rate", "0.05", "--device", "cpu")
    trained = swift(*plugin, "sft", *words, "--loader", "aaa", "--output", "adapter")
    assert trained.code == 0, trained.err
    assert Checkpoint.at(swift.folder / "adapter").manifest.loader == {"name": "aaa", "plugin": "moon_plugin", "options": {}}
    merged = swift(*plugin, "merge", "adapter", "--output", "merged", "--device", "cpu", "--json")
    assert merged.code == 0, merged.err
    figures = json.loads(merged.out)["figures"]
    assert figures["kl"] < 1e-4
    assert Checkpoint.at(swift.folder / "merged").manifest.loader["name"] == "aaa"
    assert json.loads((swift.folder / "merged" / "config.json").read_text())["model_type"] == "moon"
    asked = [
        swift(*plugin, "ask", model, "--questions", "Hi", "--max-tokens", "4", "--output", f"{model}.jsonl")
        for model in ("adapter", "merged")
    ]
    assert [outcome.code for outcome in asked] == [0, 0], [outcome.err for outcome in asked]
    answers = [json.loads((swift.folder / f"{model}.jsonl").read_text().splitlines()[0]) for model in ("adapter", "merged")]
    assert answers[0]["answer"] == answers[1]["answer"]


def test_the_recorded_loader_is_taken_unless_another_is_named(tiny_model, tmp_path, inline_plugin):
    own = LoaderSpec(name="aaa", summary="Own", factory=Ref("here:Loader"), reads=("safetensors",))
    inline_plugin(swift_loaders=lambda: [own])
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    assert resolved("get-model", {"model": str(folder)}, None).parts["loader"].name == "transformers"
    write_manifest(folder, Manifest(loader={"name": "aaa", "plugin": "inline", "options": {}}))
    assert resolved("get-model", {"model": str(folder)}, None).parts["loader"].name == "aaa"
    assert resolved("get-model", {"model": str(folder), "loader": "transformers"}, None).parts["loader"].name == "transformers"
    write_manifest(folder, Manifest(loader={"name": "gone", "plugin": "nowhere", "options": {}}))
    with pytest.raises(UsageError, check=coded("PLUGIN-023"), match="there is no loader 'gone'"):
        resolved("get-model", {"model": str(folder)}, None)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"AutoConfig": Ref("transformers:LlamaConfig")}, "its model type 'llama' is already registered"),
        ({"AutoMoon": Ref("transformers:LlamaConfig")}, "transformers has no Auto class 'AutoMoon'"),
        ({"AutoModelForCausalLM": Ref("transformers:PretrainedConfig")}, "the family declares no AutoConfig"),
    ],
)
def test_classes_that_do_not_fit_are_the_plugins_fault(classes, message):
    from swift_train.auto_classes import register

    family = ModelFamily(name="moon", summary="Moon", architectures=("MoonForCausalLM",), classes=classes)
    with pytest.raises(SwiftError, match=message):
        register(family)
