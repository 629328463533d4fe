"""llm-compressor's methods behind one role. This module runs in the engine's own environment; what it imports is there alone."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_convert.quantize import calibration_rows, check_source

from swift_core.checkpoints.generation_config import mended
from swift_core.checkpoints.manifest import copy_tokenizer, read_config
from swift_core.contract.errors import UsageError
from swift_plugin_compressed_tensors.options import (
    AwqOptions,
    Fp8Options,
    GptqOptions,
    GroupOptions,
    SkipOptions,
    W4a16Options,
    W8a8Options,
)


class Compressor(ABC):
    """Quantizes layer by layer; a method says by which modifiers."""

    own_reader = False

    def __init__(self, options: SkipOptions) -> None:
        self.options = options
        self._progress: Callable[..., None] = lambda *_, **__: None

    def watch(self, progress: Callable[..., None]) -> None:
        """Tell of every layer that is done."""
        self._progress = progress

    @abstractmethod
    def modifiers(self, ignore: list[str]) -> list[Any]:
        """llm-compressor's modifiers, in their order; they leave the modules in `ignore` whole."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`; `calibration` has a row a line, `ids` or `text`.

        Raises:
            UsageError: there is no checkpoint, not one of safetensors, of an architecture that is unknown here, or without linear layers.
        """
        check_source(checkpoint)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        _check_architecture(checkpoint)
        tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True)
        _check_layers(model, checkpoint)
        mended(model.generation_config)
        from llmcompressor import oneshot

        stored = model.dtype
        if not torch.accelerator.is_available():
            model.float()  # a CPU computes halves slowly, if at all
            _pin_nothing()
        rows = _rows(calibration, tokenizer) if calibration else None
        torch.manual_seed(0)
        ignore = [_pattern(name) for name in dict.fromkeys(("lm_head", *self.options.skip))]
        _check_names(getattr(self.options, "mixed", {}), model)
        with _layers_told(self._progress, model.config.get_text_config().num_hidden_layers if rows else 1):
            oneshot(model=model, recipe=self.modifiers(ignore), dataset=rows, pipeline="sequential" if rows else "datafree")
        _restore(model, stored)
        model.save_pretrained(out, save_compressed=True)
        copy_tokenizer(checkpoint, out)
        return {"calibration_tokens": sum(row["input_ids"].numel() for row in rows)} if rows else {}

    def load(self, checkpoint: Path) -> Any:
        """Load what `quantize` has written, with the transformers that is here."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True).eval()


class Grouped(Compressor):
    """Whole numbers in groups that share a scale."""

    options: GroupOptions

    @property
    def own_reader(self) -> bool:  # type: ignore[override]
        """Zeros are packed in a shape that transformers 5.23 does not expect; the older one beside llm-compressor reads them."""
        return not self.options.symmetric

    def groups(self, bits: int) -> dict[str, Any]:
        """llm-compressor's groups: a name or pattern counts before the class `Linear`."""
        size = self.options.group_size
        shape = {"strategy": "group", "group_size": size} if size > 0 else {"strategy": "channel"}
        shared = {"type": "int", "symmetric": self.options.symmetric, **shape}
        found = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, **shared}}}
        for other in sorted(set(self.options.mixed.values())):
            targets = [_pattern(asked) for asked, wanted in self.options.mixed.items() if wanted == other]
            found[f"group_{len(found)}"] = {"targets": targets, "weights": {"num_bits": other, **shared}}
        return found


class W4a16(Grouped):
    """Weights rounded to nearest."""

    options: W4a16Options

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Rounding alone."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(config_groups=self.groups(self.options.bits), ignore=ignore)]


class Gptq(Grouped):
    """Weights rounded one column after the other, each making up for the error of the last."""

    options: GptqOptions

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """GPTQ."""
        from llmcompressor.modifiers.gptq import GPTQModifier

        options = self.options
        groups = self.groups(options.bits)
        return [GPTQModifier(config_groups=groups, ignore=ignore, dampening_frac=options.dampening, block_size=options.block_size)]


class Awq(Grouped):
    """Weights scaled before they are rounded."""

    options: AwqOptions

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """The scaling, and rounding to nearest after it."""
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.awq import AWQModifier

        groups = self.groups(self.options.bits)
        return [AWQModifier(n_grid=self.options.grid), QuantizationModifier(config_groups=groups, ignore=ignore)]


class Fp8(Compressor):
    """FP8 weights; each token's activations are scaled as they come."""

    options: Fp8Options
    scheme = "FP8_DYNAMIC"

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Rounding to FP8."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(targets="Linear", scheme=self.scheme, ignore=ignore)]


class Fp8Static(Fp8):
    """FP8 with one scale a layer for activations, found by calibration."""

    scheme = "FP8"


class W8a8(Compressor):
    """Whole numbers of 8 bits for weights and activations."""

    options: W8a8Options

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Outliers moved into the weights, then rounding."""
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

        rounding = QuantizationModifier(targets="Linear", scheme="W8A8", ignore=ignore)
        return [SmoothQuantModifier(smoothing_strength=self.options.smoothing), rounding]


def _pattern(name: str) -> str:
    """A module's name, or a part of it, as llm-compressor writes patterns."""
    return name if name.startswith("re:") else f"re:(.*\\.)?{re.escape(name)}(\\..*)?$"


def _check_architecture(checkpoint: Path) -> None:
    """Refuse a model that is newer than the transformers that llm-compressor goes with."""
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = read_config(checkpoint).get("model_type")
    if kind not in CONFIG_MAPPING:
        hint = "Take bnb or torchao, which quantize with the transformers that loads the model."
        message = f"transformers {__version__} beside llm-compressor knows no models of the type {kind}"
        raise UsageError(message, where=str(checkpoint), hint=hint)


def _check_layers(model: Any, checkpoint: Path) -> None:
    """Refuse a model of which llm-compressor would write a copy: it quantizes what is of torch's class `Linear`."""
    head = model.get_output_embeddings()
    if not any(type(module).__name__ == "Linear" and module is not head for module in model.modules()):
        message = f"{type(model).__name__} has no linear layers that llm-compressor quantizes"
        raise UsageError(message, where=str(checkpoint), hint="Take bnb.")


def _check_names(mixed: Mapping[str, int], model: Any) -> None:
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear"]
    for asked in mixed:
        if not any(re.match(_pattern(asked).removeprefix("re:"), name) for name in names):
            hint = f"Names are like {names[0]}; a pattern is written re:.*down_proj."
            raise UsageError(f"'{asked}' names no linear layer of this model", where="mixed", hint=hint)


@contextmanager
def _layers_told(progress: Callable[..., None], layers: int) -> Iterator[None]:
    """Tell of every part of the model that llm-compressor's pipeline has done: the layers, and after them the head."""
    from llmcompressor.core import LifecycleCallbacks

    theirs, done = LifecycleCallbacks.sequential_epoch_end, 0

    def ours(*arguments: Any, **more: Any) -> Any:
        nonlocal done
        found = theirs(*arguments, **more)
        done += 1
        progress("quantize", min(done, layers), layers, unit="layers")
        return found

    LifecycleCallbacks.sequential_epoch_end = ours
    try:
        yield
    finally:
        LifecycleCallbacks.sequential_epoch_end = theirs


def _rows(file: Path, tokenizer: Any) -> Any:
    """Batches of one row, without padding."""
    import torch
    from torch.utils.data import DataLoader

    tensors = [torch.tensor([ids]) for ids in calibration_rows(file, lambda text: tokenizer(text)["input_ids"])]
    batches: Any = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in tensors]
    return DataLoader(batches, batch_size=None)


def _pin_nothing() -> None:
    """llm-compressor 0.14 pins memory whatever the machine, and torch refuses to without an accelerator."""
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda *_, **__: None


def _restore(model: Any, dtype: Any) -> None:
    """What was not quantized goes back to the type that it was stored in; scales stay as they were found."""
    from compressed_tensors.quantization.utils import is_module_quantized

    for module in model.modules():
        if not is_module_quantized(module):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
