"""Loads safetensors and GGUF checkpoints with transformers' own classes: from this machine only, checked first, never half random."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_train.auto_classes import register
from swift_train.processors import tokenizer_of
from swift_train.weights import check_weights

from swift_core.checkpoints.generation_config import mended, readable
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Loaded, Loading
from swift_plugin_transformers.finite import check_finite
from swift_plugin_transformers.gguf_tokenizer import read_tokenizer
from swift_plugin_transformers.tokenizer_json import prefer_tokenizer_json

if TYPE_CHECKING:
    from gguf import GGUFReader

    from swift_core.contract.specs import ModelFamily

log = logging.getLogger(__name__)


class TransformersLoader:
    """Checkpoint folder (or a GGUF file) → model and tokenizer, or processor where the family is multimodal."""

    def __init__(self, options: None = None) -> None:
        pass

    def load(self, checkpoint: Path, family: ModelFamily, loading: Loading) -> Loaded:
        """Load the model; on `meta` only its shapes are made.

        Raises:
            UsageError: weights missing, truncated or pickled, an architecture that is unknown or needs code that was not trusted.
            SwiftError: the checkpoint lacks weights that the architecture has.
        """
        import transformers

        register(family)
        multimodal = family.modalities != ("text",)
        model_class: Any = transformers.AutoModelForImageTextToText if multimodal else transformers.AutoModelForCausalLM
        media = multimodal and has_processor(checkpoint)
        processor_class: Any = transformers.AutoProcessor if media else transformers.AutoTokenizer
        common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": loading.trust_remote_code}
        arguments = loading.arguments
        file = gguf_file(checkpoint)
        if file:
            folder = file.parent
            common["gguf_file"] = file.name
            # plain weights: packed ones can't be trained, adapted or saved, and their kernels would be downloaded
            arguments = {"quantization_config": transformers.GgufConfig(dequantize=True), **arguments}
        else:
            folder = checkpoint
            check_architecture(folder, trusted=loading.trust_remote_code)
            if loading.device != "meta":
                check_weights(folder)
        attention = {} if loading.attention == "auto" else {"attn_implementation": loading.attention}
        kind = getattr(torch, loading.dtype)
        try:
            processor = (read_tokenizer(read_gguf(file), file) if file else None) or processor_class.from_pretrained(folder, **common)
            if not file:
                processor = prefer_tokenizer_json(processor, folder, common)
            if loading.device == "meta":
                config = transformers.AutoConfig.from_pretrained(folder, **common)
                with torch.device("meta"):
                    model = model_class.from_config(config, dtype=kind, trust_remote_code=loading.trust_remote_code, **attention)
                return Loaded(model, with_pad_token(processor))
            generation, left_out = readable(folder, transformers.GenerationConfig)
            if left_out:
                log.warning("%s: %s", folder / "generation_config.json", left_out)
                arguments = {"generation_config": generation, **arguments}
            # a device map, not `.to()`: weights go straight to the device, and quantized models can't be moved
            model, info = model_class.from_pretrained(
                folder,
                dtype=kind,
                device_map={"": loading.device},
                use_safetensors=True,
                output_loading_info=True,
                **common,
                **attention,
                **arguments,
            )
        except (ImportError, ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise refused(error, folder) from error
        check_loaded(info, folder)
        if file:
            check_all_read(model, read_gguf(file), file)
        check_finite(model, folder)
        if note := mended(model.generation_config):
            log.warning("%s: %s", folder / "generation_config.json", note)
        if file and "quantization_config" in model.config.to_dict():  # dequantized or not, transformers counts it as quantized
            model.hf_quantizer.remove_quantization_config(model)
        return Loaded(model.eval(), with_pad_token(processor))


def has_processor(folder: Path) -> bool:
    """Whether a multimodal model's folder has what turns pictures and sound into its inputs; said where it has not."""
    names = ("preprocessor_config.json", "processor_config.json")
    if any((folder / name).is_file() for name in names):
        return True
    log.warning("%s has neither %s: its tokenizer is taken, and rows are of text alone", folder, " nor ".join(names))
    return False


def gguf_file(checkpoint: Path) -> Path | None:
    """The GGUF file of a checkpoint folder that has no safetensors; a path to such a file is itself.

    Raises:
        UsageError: the folder has several.
    """
    if checkpoint.is_file():
        return checkpoint
    files = sorted(checkpoint.glob("*.gguf"))
    if not files or any(checkpoint.glob("*.safetensors")):
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UsageError(f"several GGUF files: {names}", where=str(checkpoint), hint="Put the one that is meant into a folder of its own.")
    return files[0]


def read_gguf(file: Path) -> GGUFReader:
    """The file's tables; raises UsageError where it is no GGUF file, or is truncated."""
    import gguf

    try:
        return gguf.GGUFReader(file)  # maps every tensor, and fails on one beyond the end
    except (ValueError, IndexError, KeyError) as error:
        size = file.stat().st_size
        raise UsageError(f"not a whole GGUF file ({size:,} bytes): {error}", where=str(file), hint="Fetch the model again.") from error


def check_all_read(model: Any, reader: GGUFReader, file: Path) -> None:
    """Refuse a model that has fewer numbers than its file: transformers' reader passes over tensors that it has no place for.

    Raises:
        UsageError: it has, and would be another model than llama.cpp reads.
    """
    computed = ("rope_freqs", "rope_factors")  # of the config, and kept in no parameter
    stored = sum(int(tensor.n_elements) for tensor in reader.tensors if not tensor.name.startswith(computed))
    read = sum(parameter.numel() for parameter in model.parameters())
    if read < stored:
        biases = [tensor.name for tensor in reader.tensors if tensor.name.endswith(".bias")]
        shown = f" (it has biases, such as {biases[0]})" if biases else ""
        raise UsageError(
            f"transformers' reader of GGUF files leaves out {stored - read:,} of its {stored:,} numbers{shown}",
            where=str(file),
            hint="Start from the model's safetensors; llama.cpp reads the file.",
        )


def check_architecture(folder: Path, *, trusted: bool) -> None:
    """Refuse a checkpoint whose code is not in transformers, unless its own is trusted."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("has no config.json", where=str(folder), hint="Is this the right folder?") from None
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=str(folder / "config.json"), hint="Fetch the checkpoint again.") from None
    model_type = config.get("model_type", "")
    if trusted:
        return
    if model_type in CONFIG_MAPPING:
        try:
            CONFIG_MAPPING[model_type].from_pretrained(folder)
        except Exception as error:  # each architecture checks its fields in its own way
            said = " ".join(str(error).split())
            raise UsageError(
                f"describes no '{model_type}' model: {said}", where=str(folder / "config.json"), hint="Copy it from the model's page again."
            ) from error
        return
    if "auto_map" in config:
        raise UsageError(
            f"'{model_type}' needs the Python code that the checkpoint brings, and code runs only if you trust it",
            where=str(folder),
            hint="Read the *.py files there; if you trust them: --trust-remote-code org/name@revision, with the full commit as revision.",
        )
    raise UsageError(
        f"transformers knows no architecture '{model_type}'", where=str(folder / "config.json"), hint="pip install --upgrade transformers"
    )


def check_loaded(info: Mapping[str, Any], folder: Path) -> None:
    """Refuse a model that has weights which the checkpoint did not set: transformers makes them up, at random."""
    wrong = sorted([*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])])
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise SwiftError(
            f"the checkpoint does not set {len(wrong)} of the model's weights: {shown}",
            where=str(folder),
            hint="Is it whole, and is config.json its own?",
        )
    if info["unexpected_keys"]:
        log.warning(
            "%s: %d weights that the architecture does not have were left out: %s",
            folder,
            len(info["unexpected_keys"]),
            sorted(info["unexpected_keys"])[:5],
        )


def refused(error: Exception, folder: Path) -> SwiftError:
    """transformers' own refusal, in our words where we know it."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, TypeError | LookupError | ArithmeticError | AttributeError):  # a text such as 'wat' says little alone
        text = f"{type(error).__name__}: {text}"
    if "trust_remote_code" in str(error):
        return UsageError(
            "the tokenizer or processor needs the Python code that the checkpoint brings",
            where=str(folder),
            hint="If you trust it: --trust-remote-code org/name@revision.",
        )
    if "backend tokenizer" in str(error):
        hint = "Copy tokenizer.json and tokenizer_config.json, or tokenizer.model, from the model's page into the folder."
        return UsageError("has no tokenizer that transformers can read", where=str(folder), hint=hint)
    if "ignore_mismatched_sizes" in str(error):
        hint = "Is config.json the checkpoint's own? The log names the weights."
        return UsageError("the weights have other shapes than config.json says", where=str(folder), hint=hint)
    if "flash_attn" in str(error) or "attention" in text.lower():
        return UsageError(text, where="attention", hint="--attention auto takes what this machine has.")
    return SwiftError(f"transformers can't load it: {text}", where=str(folder), hint="Is the checkpoint whole?")


def with_pad_token(processor: Any) -> Any:
    """A tokenizer without a pad token pads with its end token: padding is masked, so any token will do."""
    tokenizer = tokenizer_of(processor)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return processor
