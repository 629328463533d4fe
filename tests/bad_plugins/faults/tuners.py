"""LoRA, each time with one fault."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from swift_plugin_peft.options import LoraOptions
from swift_plugin_peft.tuner import PeftTuner


def merge(run, report):
    raise NotImplementedError


class Adapter(PeftTuner):
    def __init__(self, options=None):
        super().__init__(LoraOptions(dropout=0.0))


class TrainsTheBase(Adapter):
    def attach(self, model, family):
        attached = super().attach(model, family)
        attached.get_base_model().model.norm.weight.requires_grad_(True)
        return attached


class Drifting(Adapter):
    def merge(self, model):
        merged = super().merge(model)
        with torch.no_grad():
            merged.model.layers[0].mlp.down_proj.weight.mul_(1.01)
        return merged


class Forgetful(Adapter):
    def save(self, model, folder, weights=None):
        kept = {name: value / 2 for name, value in model.named_parameters() if "lora_" in name}
        super().save(model, folder, kept)


class HalfGrouped(Adapter):
    def parameter_groups(self, model):
        (group,) = super().parameter_groups(model)
        return [{**group, "params": group["params"][::2]}]


class Foreign(Adapter):
    """Names its tensors otherwise, and knows them again."""

    def save(self, model, folder, weights=None):
        super().save(model, folder, weights)
        rename(folder, lambda name: f"mine.{name}")

    def restore(self, model, folder, *, trainable=False, name="default"):
        with tempfile.TemporaryDirectory() as scratch:
            copy = shutil.copytree(folder, Path(scratch) / "adapter")
            rename(copy, lambda name: name.removeprefix("mine."))
            return super().restore(model, copy, trainable=trainable, name=name)


def rename(folder, new):
    file = folder / "adapter_model.safetensors"
    save_file({new(name): value for name, value in load_file(file).items()}, file, {"format": "pt"})


class Frozen(Adapter):
    def restore(self, model, folder, *, trainable=False, name="default"):
        return super().restore(model, folder, name=name)


class Own(Adapter):
    def save(self, model, folder, weights=None):
        super().save(model, folder)


class Stuck(Adapter):
    def speaking_as(self, model, name):
        return nullcontext()
