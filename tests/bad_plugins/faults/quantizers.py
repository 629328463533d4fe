"""Half precision as a quantizer, each time with one fault."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from swift_core.checkpoints import MANIFEST, Manifest, write_manifest
from swift_core.contract import UsageError
from swift_core.system import paths


class Halves:
    def __init__(self, options=None):
        pass

    def quantize(self, checkpoint, out, calibration):
        if not checkpoint.is_dir():
            raise UsageError("not a folder", where=str(checkpoint), hint="Check the path.")
        shutil.copytree(checkpoint, out)
        weights = {name: self.change(value.half()) for name, value in load_file(out / "model.safetensors").items()}
        save_file(weights, out / "model.safetensors", {"format": "pt"})
        config = json.loads((out / "config.json").read_text())
        paths.write_json(out / "config.json", {**config, "quantization_config": {"quant_method": "halves", "bits": 16}})
        return {"bits": 16}

    def change(self, value):
        return value


class Random(Halves):
    def change(self, value):
        return value + 0.01 * torch.randn_like(value)


class Liar(Halves):
    def quantize(self, checkpoint, out, calibration):
        figures = super().quantize(checkpoint, out, calibration)
        write_manifest(out, Manifest(quantizer={"name": "bad-manifest", "bits": 16}))
        manifest = json.loads((out / MANIFEST).read_text())
        manifest["files"]["model.safetensors"] = "0" * 64
        paths.write_json(out / MANIFEST, manifest)
        return figures


class Same(Halves):
    def quantize(self, checkpoint, out, calibration):
        shutil.copytree(checkpoint, out)
        return {"bits": 16}


class Unready:
    """Keeps the weights in half precision, and forgets that what an adapter adds needs a gradient."""

    def __init__(self, options=None):
        pass

    def load_arguments(self, family, dtype):
        return {"dtype": "bfloat16"}

    def ready_to_train(self, model):
        model.register_forward_hook(lambda module, given, output: output.__class__(loss=output.loss.detach().requires_grad_()))
