"""llm-compressor's methods as quantizers. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_convert.quantize import calibration_rows, check_source
from swift_formats.files import copy_tokenizer
from swift_formats.generation_config import repaired_generation_config

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
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
    """The part common to all methods: llm-compressor's one-shot pipeline, layer by layer, with the method's modifiers."""

    own_reader = False

    def __init__(self, options: SkipOptions) -> None:
        self.options = options
        self._progress: Callable[..., None] = lambda *_, **__: None

    def report_to(self, progress: Callable[..., None]) -> None:
        """Report each quantized layer to `progress`."""
        self._progress = progress

    @abstractmethod
    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return llm-compressor's modifiers, in order; they do not quantize the modules in `ignore`."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`.

        `calibration` is a JSON Lines file with one row per line, as `ids` or `text`.

        Raises:
            UsageError: this is not a safetensors checkpoint, its architecture is not supported, or it has no linear layers.
        """
        check_source(checkpoint)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        _check_architecture(checkpoint)
        tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True)
        _check_layers(model, checkpoint)
        repaired_generation_config(model.generation_config)
        from llmcompressor import oneshot

        stored = model.dtype
        if not torch.accelerator.is_available():
            model.float()  # half precision is slow or unsupported on a CPU
            _disable_pinning()
        rows = _rows(calibration, tokenizer) if calibration else None
        torch.manual_seed(0)
        ignore = [_pattern(name) for name in dict.fromkeys(("lm_head", *self.options.skip))]
        _check_names(getattr(self.options, "mixed", {}), model)
        with _report_layers(self._progress, model.config.get_text_config().num_hidden_layers if rows else 1):
            oneshot(model=model, recipe=self.modifiers(ignore), dataset=rows, pipeline="sequential" if rows else "datafree")
        _restore(model, stored)
        model.save_pretrained(out, save_compressed=True)
        copy_tokenizer(checkpoint, out)
        return {"calibration_tokens": sum(row["input_ids"].numel() for row in rows)} if rows else {}

    def load(self, checkpoint: Path) -> Any:
        """Load the result with the transformers of this environment."""
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True)
        return model.eval()


class Grouped(Compressor):
    """Integer weights in groups that share a scale."""

    options: GroupOptions

    @property
    def own_reader(self) -> bool:  # type: ignore[override]
        """True for asymmetric weights: transformers 5.23 does not read their packed zero points, the older one of this engine does."""
        return not self.options.symmetric

    def groups(self, bits: int) -> dict[str, Any]:
        """Return llm-compressor's `config_groups`; names and patterns take precedence over the class `Linear`."""
        size = self.options.group_size
        shape = {"strategy": "group", "group_size": size} if size > 0 else {"strategy": "channel"}
        shared = {"type": "int", "symmetric": self.options.symmetric, **shape}
        groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, **shared}}}
        for other in sorted(set(self.options.mixed.values())):
            targets = [_pattern(name) for name, bits_of in self.options.mixed.items() if bits_of == other]
            groups[f"group_{len(groups)}"] = {"targets": targets, "weights": {"num_bits": other, **shared}}
        return groups


class W4a16(Grouped):
    """Round-to-nearest (RTN)."""

    options: W4a16Options

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return the modifier of round-to-nearest."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(config_groups=self.groups(self.options.bits), ignore=ignore)]


class Gptq(Grouped):
    """GPTQ (https://arxiv.org/abs/2210.17323): columns are quantized one by one, compensating the error of those before."""

    options: GptqOptions

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return the modifier of GPTQ."""
        from llmcompressor.modifiers.gptq import GPTQModifier

        options = self.options
        groups = self.groups(options.bits)
        return [GPTQModifier(config_groups=groups, ignore=ignore, dampening_frac=options.dampening, block_size=options.block_size)]


class Awq(Grouped):
    """AWQ (https://arxiv.org/abs/2306.00978): weights are scaled by activation size before rounding."""

    options: AwqOptions

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return the modifiers of AWQ scaling and of round-to-nearest."""
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.awq import AWQModifier

        groups = self.groups(self.options.bits)
        return [AWQModifier(n_grid=self.options.grid), QuantizationModifier(config_groups=groups, ignore=ignore)]


class Fp8(Compressor):
    """FP8 weights, and FP8 activations with dynamic scales per token."""

    options: Fp8Options
    scheme = "FP8_DYNAMIC"

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return the modifier of FP8 rounding."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(targets="Linear", scheme=self.scheme, ignore=ignore)]


class Fp8Static(Fp8):
    """FP8 weights, and FP8 activations with one calibrated scale per layer."""

    scheme = "FP8"


class W8a8(Compressor):
    """INT8 weights and activations with SmoothQuant (https://arxiv.org/abs/2211.10438)."""

    options: W8a8Options

    def modifiers(self, ignore: list[str]) -> list[Any]:
        """Return the modifiers of SmoothQuant and of INT8 rounding."""
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

        rounding = QuantizationModifier(targets="Linear", scheme="W8A8", ignore=ignore)
        return [SmoothQuantModifier(smoothing_strength=self.options.smoothing), rounding]


def _pattern(name: str) -> str:
    """Return llm-compressor's pattern for a module name or a part of one."""
    return name if name.startswith("re:") else f"re:(.*\\.)?{re.escape(name)}(\\..*)?$"


def _check_architecture(checkpoint: Path) -> None:
    """Reject a model type that the transformers of this environment lacks."""
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = Checkpoint.at(checkpoint).config.get("model_type")
    if kind not in CONFIG_MAPPING:
        hint = "Use bnb or torchao, which quantize with the main environment's transformers."
        message = f"transformers {__version__} in llm-compressor's environment does not support the model type {kind}"
        raise UsageError(message, code="QUANT-008", where=str(checkpoint), hint=hint)


def _check_layers(model: Any, checkpoint: Path) -> None:
    """Reject a model without `torch.nn.Linear` layers, of which llm-compressor would only write a copy."""
    head = model.get_output_embeddings()
    if not any(type(module).__name__ == "Linear" and module is not head for module in model.modules()):
        message = f"{type(model).__name__} has no torch.nn.Linear layers, which llm-compressor quantizes"
        raise UsageError(message, code="QUANT-009", where=str(checkpoint), hint="Use bnb.")


def _check_names(mixed: Mapping[str, int], model: Any) -> None:
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear"]
    for pattern in mixed:
        if not any(re.match(_pattern(pattern).removeprefix("re:"), name) for name in names):
            hint = f"Use a module name such as {names[0]}, a part of one, or a regular expression such as re:.*down_proj."
            raise UsageError(f"'{pattern}' matches no linear layer of this model", code="QUANT-010", where="mixed", hint=hint)


@contextmanager
def _report_layers(progress: Callable[..., None], layers: int) -> Iterator[None]:
    """Report the progress of llm-compressor's sequential pipeline: the layers, and after them the output layer."""
    from llmcompressor.core import LifecycleCallbacks

    original, done = LifecycleCallbacks.sequential_epoch_end, 0

    def reporting(*arguments: Any, **more: Any) -> Any:
        nonlocal done
        found = original(*arguments, **more)
        done += 1
        progress("quantize", min(done, layers), layers, unit="layers")
        return found

    LifecycleCallbacks.sequential_epoch_end = reporting
    try:
        yield
    finally:
        LifecycleCallbacks.sequential_epoch_end = original


def _rows(file: Path, tokenizer: Any) -> Any:
    """Return a data loader of batches of one row, without padding."""
    import torch
    from torch.utils.data import DataLoader

    tensors = [torch.tensor([ids]) for ids in calibration_rows(file, lambda text: tokenizer(text)["input_ids"])]
    batches: Any = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in tensors]
    return DataLoader(batches, batch_size=None)


def _disable_pinning() -> None:
    """Disable memory pinning, which llm-compressor 0.14 always uses and torch rejects without an accelerator."""
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda *_, **__: None


def _restore(model: Any, dtype: Any) -> None:
    """Convert the parameters of modules that were not quantized back to the stored dtype."""
    from compressed_tensors.quantization.utils import is_module_quantized

    for module in model.modules():
        if not is_module_quantized(module):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
