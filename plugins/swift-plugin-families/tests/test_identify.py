"""From `config.json` to a family, with this plugin's families: swift_core.checkpoints.family on real configurations."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import swift_plugin_families
from swift_testing.codes import coded

from swift_core.checkpoints.family import UNKNOWN, family_of, identify
from swift_core.contract.errors import UsageError
from swift_core.contract.run import Source

FAMILIES = swift_plugin_families.swift_families()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "llama", id="both"),
        pytest.param({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3"}, "gemma3_text", id="the architecture decides"),
        pytest.param(
            {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}, "llama", id="another head on a known body"
        ),
        pytest.param({"model_type": "qwen3"}, "qwen3", id="no architectures"),
        pytest.param({"architectures": None, "model_type": "qwen3"}, "qwen3", id="architectures null"),
        pytest.param({"architectures": ["MyOwn", "Qwen2ForCausalLM"]}, "qwen2", id="the first known one"),
        pytest.param({"architectures": ["BaiChuanForCausalLM"], "auto_map": {}}, "baichuan", id="remote code"),
        pytest.param({"architectures": ["MyOwn"], "model_type": "my_own"}, None, id="unknown"),
        pytest.param({}, None, id="no config.json"),
    ],
)
def test_identify(config: dict[str, Any], expected: str | None) -> None:
    family = identify(config, iter(FAMILIES))
    assert (family.name if family else None) == expected


def source(family: str) -> Source:
    return Source(reference="file:x", path="x", hash="", format="safetensors", family=family)


def test_family_of_a_source() -> None:
    assert family_of(source("llama")).targets == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert family_of(source("")) is UNKNOWN
    assert family_of(source("unknown")) is UNKNOWN
    with pytest.raises(UsageError, check=coded("PLUGIN-023"), match="llam_a"):
        family_of(source("llam_a"))


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, swift_plugin_families as plugin; plugin.swift_families()\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'yaml', 'rich'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
