"""Checks of a quantizer on the tiny model: its result is smaller, close to the original, and reproducible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.roles import LoadableQuantizer

from swift_core.checkpoints import Checkpoint, hash_files
from swift_core.contract import QuantizerSpec, SwiftError
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from torch.nn import Module

QUANTIZER = "quantizer"
_NEEDS = ("torch", "transformers")


def _loaded(subject: Subject) -> Module:
    """Return the tiny model, quantized while it is loaded."""
    if subject.spec.when != "load":
        raise Skip("it quantizes offline")
    subject.needs_engine()
    return tiny.base(subject.tiny_model, **subject.build().load_arguments(tiny.FAMILY, "float32"))


def _written(subject: Subject, again: bool = False) -> tuple[Path, Mapping[str, Any]]:
    """Return the folder and the figures of the tiny model, quantized offline; quantize it anew if `again`."""
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
    """Load what it wrote, with transformers or, if that can't read it, with the quantizer itself."""
    quantizer = subject.build()
    own: Any = quantizer.load if _has_own_reader(quantizer) else lambda folder: tiny.base(folder, dtype="auto")
    return own(out).eval()  # type: ignore[no-any-return]


@check(QUANTIZER, needs=_NEEDS)
def check_quantization(subject: Subject) -> None:
    """The quantized model is smaller than the original, and its logits differ from the original's, but not by much."""
    model: Any = _loaded(subject) if subject.spec.when == "load" else _read(subject, _written(subject)[0])
    whole = tiny.base(subject.tiny_model)
    require(_bytes(model) < _bytes(whole), f"the model takes {_bytes(model)} bytes quantized, and {_bytes(whole)} without quantization")
    difference = tiny.difference(tiny.logits(model), tiny.logits(whole))
    require(difference > 0, "the logits are identical to those in full precision")
    deviation = float(tiny.logits(whole).std())
    error = float((tiny.logits(model).float() - tiny.logits(whole)).abs().mean())
    require(error < deviation, f"the mean absolute error of the logits is {error:.2g}, not below their standard deviation, {deviation:.2g}")


@check(QUANTIZER, needs=_NEEDS)
def check_quantization_is_deterministic(subject: Subject) -> None:
    """The same input gives bitwise the same output: otherwise two runs can't be compared."""
    if subject.spec.when == "load":
        difference = tiny.difference(tiny.logits(_loaded(subject)), tiny.logits(_loaded(subject)))
        require(difference == 0, f"loaded twice, the logits differ by {difference:.2g}")
        return
    first, second = _written(subject)[0], _written(subject, again=True)[0]
    one, other = hash_files(first), hash_files(second)
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    require(not differ, f"quantized twice, these files differ: {', '.join(differ)}")


@check(QUANTIZER, needs=_NEEDS)
def check_skipped_layers_keep_precision(subject: Subject) -> None:
    """Modules in the family's `skip_quantization` stay in full precision: routers and towers lose more accuracy than they save memory."""
    model: Any = _loaded(subject)
    head = model.get_output_embeddings()
    require(type(head).__name__ == "Linear", f"the output layer, which the family excludes, was quantized to a {type(head).__name__}")


@check(QUANTIZER, needs=_NEEDS)
def check_adapter_training(subject: Subject) -> None:
    """An adapter on the quantized model, prepared by `ready_to_train`, can be trained: that is the purpose of load-time quantization."""
    peft = library("peft")
    model = _loaded(subject)
    subject.build().ready_to_train(model)
    import torch

    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    optimizer = torch.optim.AdamW([parameter for parameter in adapted.parameters() if parameter.requires_grad], lr=1e-2)
    losses = tiny.learn(adapted, optimizer, 6)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")


@check(QUANTIZER, needs=_NEEDS)
def check_quantized_checkpoint_loads(subject: Subject) -> None:
    """It writes a complete checkpoint with tokenizer that transformers, or its own `load`, can read: other tools will use it."""
    out, _ = _written(subject)
    try:
        found = Checkpoint.at(out).format
    except SwiftError as error:
        raise CheckFailed(f"it did not write a valid checkpoint: {error.message}") from error
    require(found == "safetensors", f"it wrote a checkpoint of the format {found}")
    require((out / "tokenizer_config.json").is_file(), "it did not write the tokenizer")
    try:
        _read(subject, out)
    except Exception as error:
        own = _has_own_reader(subject.build())
        raise CheckFailed(f"{'its `load`' if own else 'transformers'} can't load what it wrote: {type(error).__name__}: {error}") from error


@check(QUANTIZER, needs=_NEEDS)
def check_quantization_metadata(subject: Subject) -> None:
    """config.json and swift.json state the format, the bits and the hashes of the files correctly, since readers rely on them."""
    spec: QuantizerSpec = subject.spec
    out, figures = _written(subject)
    try:
        json.dumps(dict(figures))
    except TypeError as error:
        raise CheckFailed(f"its figures can't be written as JSON: {error}") from None
    config = Checkpoint.at(out).config.get("quantization_config") or {}
    require(config, "config.json has no quantization_config, so readers take the weights for full precision")
    method = str(config.get("quant_method", ""))
    require(method == spec.format, f"config.json has quant_method '{method}', but the spec format='{spec.format}'")
    bits = config.get("bits", config.get("weight_bits"))
    require(bits is None or int(bits) in spec.bits, f"config.json has {bits} bits, but the spec {spec.bits}")
    manifest = Checkpoint.at(out).manifest
    if manifest is None:
        return
    actual = hash_files(out)
    wrong = sorted(name for name in {*manifest.files, *actual} if manifest.files.get(name) != actual.get(name))
    require(not wrong, f"the hashes in swift.json don't match these files: {', '.join(wrong)}")
    named = manifest.quantizer.get("name", spec.name)
    require(named == spec.name, f"swift.json names the quantizer '{named}'")
    recorded = manifest.quantizer.get("options", manifest.quantizer).get("bits", bits)
    require(bits is None or recorded == bits, f"swift.json has {recorded} bits, but config.json {bits}")


@check(QUANTIZER, needs=_NEEDS)
def check_missing_checkpoint_is_refused(subject: Subject) -> None:
    """A missing checkpoint is a SwiftError with a hint and leaves no output folder."""
    if subject.spec.when != "offline":
        raise Skip("it quantizes while loading")
    subject.needs_engine()
    out = subject.new_folder("nothing")
    try:
        subject.build().quantize(subject.folder / "nowhere", out, None)
    except SwiftError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        require(not out.exists(), "it left an output folder")
        return
    except Exception as error:
        raise CheckFailed(f"a missing checkpoint raises {type(error).__name__}: {error}") from error
    raise CheckFailed("a missing checkpoint is not an error")


def _has_own_reader(quantizer: Any) -> bool:
    return isinstance(quantizer, LoadableQuantizer) and quantizer.own_reader


def _bytes(model: Any) -> int:
    return sum(map(_bytes_of, (*model.parameters(), *model.buffers())))


def _bytes_of(tensor: Any) -> int:
    """Return the bytes of a tensor; of a tensor subclass that reports a wider dtype, those of the plain tensors inside."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes_of(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())
