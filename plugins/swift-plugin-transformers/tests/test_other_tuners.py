"""Adapters that PEFT does not know: served beside their base where their tuner can switch, else refused before anything is loaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_http import Sampling
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.sequential import SequentialWorker
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_testing.codes import coded

from swift_core.checkpoints import Checkpoint
from swift_core.checkpoints.manifest import Manifest, write_manifest
from swift_core.contract.errors import UsageError
from swift_core.contract.specs import Ref, TunerSpec

PROMPT = list(range(3, 13))


class Shift(torch.nn.Module):
    """A head whose outputs are shifted by what was learned, by adapter."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head, self.shifts, self.chosen = head, torch.nn.ParameterDict(), ""

    @property
    def weight(self) -> Any:
        return self.head.weight

    def forward(self, hidden: Any) -> Any:
        found = self.head(hidden)
        return found + self.shifts[self.chosen] if self.chosen else found


class PlainTuner:
    """What the conformance kit asks of a tuner, and no more."""

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, model: Any, family: Any) -> Any:
        model.requires_grad_(False)
        return self._added(model, "default", torch.zeros(model.config.vocab_size)).train()

    def restore(self, model: Any, folder: Path, *, trainable: bool = False, name: str = "default") -> Any:
        return self._added(model, name, load_file(folder / "adapter_model.safetensors")["shift"]).train(trainable)

    def _added(self, model: Any, name: str, shift: Any) -> Any:
        if not isinstance(model.lm_head, Shift):
            model.lm_head = Shift(model.lm_head)
        model.lm_head.shifts[name] = shift
        model.lm_head.chosen = model.lm_head.chosen or name
        return model

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return [{"params": list(model.lm_head.shifts.values())}]

    def save(self, model: Any, folder: Path, weights: Any = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "SHIFT"}))
        save_file({"shift": model.lm_head.shifts["default"].detach().clone()}, folder / "adapter_model.safetensors")

    def merge(self, model: Any) -> Any:
        raise UsageError("a head without bias can't hold it")


class SwitchingShift(PlainTuner):
    """It can switch too."""

    @contextmanager
    def speaking_as(self, model: Any, name: str) -> Iterator[None]:
        model.lm_head.chosen = name
        yield

    def drop(self, model: Any, name: str) -> Any:
        del model.lm_head.shifts[name]
        if not model.lm_head.shifts:
            model.lm_head = model.lm_head.head
        return model

    def in_layers(self, model: Any) -> bool:
        return True


class Alone(SwitchingShift):
    """It says that its adapters are not in the layers."""

    def in_layers(self, model: Any) -> bool:
        return False


@pytest.fixture
def adapter(tmp_path: Path, tiny_model: Path, inline_plugin: Any) -> Any:
    def write(tuner: type, name: str = "adapter") -> Path:
        spec = TunerSpec(name="shift", summary="A shift", factory=Ref(f"{__name__}:{tuner.__name__}"), trains="adapter")
        inline_plugin(name=f"inline_{name}", swift_tuners=lambda: [spec]) if name == "adapter" else None
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "SHIFT"}))
        shift = torch.zeros(320)
        shift[42 if name == "adapter" else 43] = 1e4
        save_file({"shift": shift}, folder / "adapter_model.safetensors")
        base = {"reference": f"file:{tiny_model}", "hash": Checkpoint.at(tiny_model).hash(), "path": str(tiny_model)}
        write_manifest(folder, Manifest(kind="adapter", base=base, tuner={"name": "shift", "options": {}}))
        return folder

    return write


def answer(engine: Any, model: str) -> list[int]:
    async def asked() -> list[int]:
        pieces = [piece async for piece in engine.generate(PROMPT, Sampling(max_tokens=3, temperature=0.0), model=model)]
        return [token.id for piece in pieces for token in piece.tokens]

    return asyncio.run(asked())


def options() -> ServeOptions:
    return ServeOptions(device="cpu", dtype="float32", memory="64MB")


def test_a_tuner_that_cannot_switch_is_refused_before_anything_is_loaded(adapter, tiny_model, monkeypatch):
    monkeypatch.setattr("swift_train.build.load_base", lambda *_: pytest.fail("loaded"))
    folder = adapter(PlainTuner)
    with pytest.raises(UsageError, check=coded("TUNER-028"), match="can't be switched on and off") as refused:
        load(tiny_model, {"mine": folder}, "m", options())
    assert f"swift merge {folder}" in refused.value.hint


@pytest.mark.parametrize(("tuner", "worker"), [(SwitchingShift, Batcher), (Alone, SequentialWorker)])
def test_adapters_of_another_tuner_are_served_beside_their_base(tuner, worker, adapter, tiny_model):
    engine = load(tiny_model, {"mine": adapter(tuner)}, "m", options())
    try:
        assert isinstance(engine.worker, worker)
        base = answer(engine, "m")
        assert answer(engine, "mine") == [42, 42, 42] != base
        asyncio.run(engine.load_adapter("second", adapter(tuner, "second")))
        assert [answer(engine, name)[0] for name in ("second", "mine", "m")] == [43, 42, base[0]]
        asyncio.run(engine.unload_adapter("mine"))
        asyncio.run(engine.unload_adapter("second"))
        assert answer(engine, "m") == base
    finally:
        engine.close()


def test_an_adapter_that_comes_later_must_be_of_the_same_tuner(adapter, tiny_model, tmp_path):
    from swift_train.testing_adapters import learned_adapter

    learned_adapter(tiny_model, tmp_path / "lora")
    engine = load(tiny_model, {"lora": tmp_path / "lora"}, "m", options())
    try:
        before = answer(engine, "lora")
        with pytest.raises(UsageError, check=coded("TUNER-028"), match="can't share a base"):
            asyncio.run(engine.load_adapter("mine", adapter(SwitchingShift)))
        assert answer(engine, "lora") == before
    finally:
        engine.close()
