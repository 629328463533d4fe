"""A quantizer on the tiny model: fewer bits indeed, and the same ones every time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints.manifest import checkpoint_format, hash_files, read_config, read_manifest
from swift_core.contract.errors import SwiftError
from swift_core.contract.specs import QuantizerSpec
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from torch.nn import Module

QUANTIZER = "quantizer"
_NEEDS = ("torch", "transformers")


def _loaded(subject: Subject) -> Module:
    """The tiny model, quantized while it is loaded."""
    if subject.spec.when != "load":
        raise Skip("it quantizes offline")
    subject.needs_engine()
    return tiny.base(subject.tiny_model, **subject.build().load_arguments(tiny.FAMILY, "float32"))


def _written(subject: Subject, again: bool = False) -> tuple[Path, Mapping[str, Any]]:
    """The folder and the figures of the tiny model, quantized offline; once more if `again`."""
    if subject.spec.when != "offline":
        raise Skip("it quantizes while loading")
    subject.needs_engine()

    def make() -> tuple[Path, Mapping[str, Any]]:
        rows = subject.folder / "calibration.jsonl"
        rows.write_text(json.dumps({"text": "The capital of France is Paris."}) + "\n", encoding="utf-8")
        out = subject.new_folder("quantized")
        figures = subject.build().quantize(subject.tiny_model, out, rows if subject.spec.calibrates else None)
        return out, figures

    return make() if again else subject.keep("quantized", make)


def _read(subject: Subject, out: Path) -> Module:
    """What it wrote, as whoever compares it with its source loads it: transformers, or the quantizer where that can't."""
    quantizer = subject.build()
    own: Any = quantizer.load if getattr(quantizer, "own_reader", False) else lambda folder: tiny.base(folder, dtype="auto")
    return own(out).eval()  # type: ignore[no-any-return]


@check(QUANTIZER, needs=_NEEDS)
def check_it_quantizes(subject: Subject) -> None:
    """The model that it gives is quantized: smaller than it was, not the same, and not far off."""
    model: Any = _loaded(subject) if subject.spec.when == "load" else _read(subject, _written(subject)[0])
    whole = tiny.base(subject.tiny_model)
    require(_bytes(model) < _bytes(whole), f"the model takes {_bytes(model)} bytes, and {_bytes(whole)} without it")
    far = tiny.difference(tiny.logits(model), tiny.logits(whole))
    require(far > 0, "the logits are those of the model in full precision")
    spread = float(tiny.logits(whole).std())
    off = float((tiny.logits(model).float() - tiny.logits(whole)).abs().mean())
    require(off < spread, f"the logits are off by {off:.2g} on average, as much as they differ among themselves")


@check(QUANTIZER, needs=_NEEDS)
def check_it_is_deterministic(subject: Subject) -> None:
    """The same input gives the same output, bit by bit: else no comparison of two runs means anything."""
    if subject.spec.when == "load":
        far = tiny.difference(tiny.logits(_loaded(subject)), tiny.logits(_loaded(subject)))
        require(far == 0, f"loaded twice, the logits differ by {far:.2g}")
        return
    first, second = _written(subject)[0], _written(subject, again=True)[0]
    one, other = hash_files(first), hash_files(second)
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    require(not differ, f"quantized twice, these files differ: {', '.join(differ)}")


@check(QUANTIZER, needs=_NEEDS)
def check_skipped_layers_stay_whole(subject: Subject) -> None:
    """Layers that the family leaves out keep their weights: routers and towers lose more by it than they save."""
    model: Any = _loaded(subject)
    head = model.get_output_embeddings()
    require(type(head).__name__ == "Linear", f"the head, which the family leaves out, has become a {type(head).__name__}")


@check(QUANTIZER, needs=_NEEDS)
def check_an_adapter_learns_on_it(subject: Subject) -> None:
    """An adapter on the model that it gives, made `ready_to_train`, learns: that is what quantizing while loading is for."""
    peft = library("peft")
    model = _loaded(subject)
    subject.build().ready_to_train(model)
    import torch

    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    optimizer = torch.optim.AdamW([parameter for parameter in adapted.parameters() if parameter.requires_grad], lr=1e-2)
    losses = tiny.learn(adapted, optimizer, 6)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")


@check(QUANTIZER, needs=_NEEDS)
def check_folder_loads(subject: Subject) -> None:
    """What it wrote is a checkpoint that transformers reads, or its own `load`, with its tokenizer: others than we are to use it."""
    out, _ = _written(subject)
    try:
        found = checkpoint_format(out)
    except SwiftError as error:
        raise CheckFailed(f"what it wrote is no checkpoint: {error.message}") from error
    require(found == "safetensors", f"it wrote a checkpoint of the format {found}")
    require((out / "tokenizer_config.json").is_file(), "it left out the tokenizer")
    try:
        _read(subject, out)
    except Exception as error:
        own = getattr(subject.build(), "own_reader", False)
        raise CheckFailed(f"{'its `load`' if own else 'transformers'} can't load what it wrote: {type(error).__name__}: {error}") from error


@check(QUANTIZER, needs=_NEEDS)
def check_what_it_says_is_true(subject: Subject) -> None:
    """config.json and swift.json tell the format, the bits and the files as they are: whoever reads them believes them."""
    spec: QuantizerSpec = subject.spec
    out, figures = _written(subject)
    try:
        json.dumps(dict(figures))
    except TypeError as error:
        raise CheckFailed(f"its figures are no JSON: {error}") from None
    config = read_config(out).get("quantization_config") or {}
    require(config, "config.json has no quantization_config, so readers take the weights for whole ones")
    method = str(config.get("quant_method", ""))
    require(method == spec.format, f"config.json says quant_method '{method}', the spec format='{spec.format}'")
    bits = config.get("bits", config.get("weight_bits"))
    require(bits is None or int(bits) in spec.bits, f"config.json says {bits} bits, the spec {spec.bits}")
    manifest = read_manifest(out)
    if manifest is None:
        return
    true = hash_files(out)
    lies = sorted(name for name in {*manifest.files, *true} if manifest.files.get(name) != true.get(name))
    require(not lies, f"swift.json has another hash than the file has: {', '.join(lies)}")
    named = manifest.quantizer.get("name", spec.name)
    require(named == spec.name, f"swift.json says that '{named}' quantized it")
    said = manifest.quantizer.get("options", manifest.quantizer).get("bits", bits)
    require(bits is None or said == bits, f"swift.json says {said} bits, config.json {bits}")


@check(QUANTIZER, needs=_NEEDS)
def check_missing_checkpoint_is_refused(subject: Subject) -> None:
    """A checkpoint that is not there is a SwiftError with a hint, and leaves no folder behind."""
    if subject.spec.when != "offline":
        raise Skip("it quantizes while loading")
    subject.needs_engine()
    out = subject.new_folder("nothing")
    try:
        subject.build().quantize(subject.folder / "nowhere", out, None)
    except SwiftError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        require(not out.exists(), "it left a folder behind")
        return
    except Exception as error:
        raise CheckFailed(f"a missing checkpoint ends in {type(error).__name__}: {error}") from error
    raise CheckFailed("a missing checkpoint is no error")


def _bytes(model: Any) -> int:
    return sum(map(_bytes_of, (*model.parameters(), *model.buffers())))


def _bytes_of(tensor: Any) -> int:
    """Those of the plain tensors that it is made of, where it is a class of its own that goes for a wider type."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes_of(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())
