"""Load safetensors and GGUF checkpoints with transformers: offline, with checks before and after, and no randomly initialized weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_formats.generation_config import readable_generation_config, repaired_generation_config
from swift_train.auto_classes import register
from swift_train.encoder_decoder import accept_concatenated, is_encoder_decoder
from swift_train.heads import HIDDEN, accept_logits_to_keep, auto_class, score_modules, size_of_head
from swift_train.media.speech import SpeechProcessor
from swift_train.model_classes import from_config, language_model_class, reads_media
from swift_train.processors import share_template, tokenizer_of
from swift_train.roles import Loaded, Loading
from swift_train.rope import apply_rope
from swift_train.speech import accept_transcripts, hears
from swift_train.weights import check_weights

from swift_core.checkpoints import Checkpoint
from swift_core.contract import SwiftError, UsageError
from swift_plugin_transformers.config_checks import check_eos_token_ids, check_rope_types
from swift_plugin_transformers.finite import check_finite
from swift_plugin_transformers.gguf_files import check_all_tensors_loaded, gguf_file, read_gguf
from swift_plugin_transformers.gguf_tokenizer import read_tokenizer
from swift_plugin_transformers.loading_errors import loading_error
from swift_plugin_transformers.multimodal import has_processor
from swift_plugin_transformers.tokenizer_json import prefer_tokenizer_json

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily

log = logging.getLogger(__name__)
_KEYS = ("missing_keys", "unexpected_keys")
_OTHER_HEADS = ("score.", "lm_head.", "cls.", "head.", "decoder.", "classifier.", "vocab_", "generator_", "discriminator_")


class TransformersLoader:
    """Loads a checkpoint folder or GGUF file: model and tokenizer, or processor if the family is multimodal."""

    def __init__(self, options: None = None) -> None:
        pass

    def load(self, checkpoint: Path, family: ModelFamily, loading: Loading) -> Loaded:
        """Load the model; on the device `meta`, only shapes without weights.

        Raises:
            UsageError: weights are missing, truncated or pickled, or the architecture is unknown or needs code that is not trusted.
            SwiftError: the checkpoint lacks weights of the architecture.
        """
        import transformers

        register(family)
        name = language_model_class(Checkpoint.at(checkpoint).config if checkpoint.is_dir() else {}, family)
        labels = {"num_labels": size_of_head(loading.head)} if size_of_head(loading.head) else {}
        model_class: Any = getattr(transformers, auto_class(loading.head) if loading.head else name)
        media = (family.modalities != ("text",) or reads_media(name)) and has_processor(checkpoint)
        processor_class: Any = transformers.AutoProcessor if media else transformers.AutoTokenizer
        common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": loading.trust_remote_code}
        arguments = loading.arguments
        file = gguf_file(checkpoint)
        if file:
            folder = file.parent
            common["gguf_file"] = file.name
            # dequantize: packed weights can't be trained, adapted or saved, and their kernels would be downloaded
            arguments = {"quantization_config": transformers.GgufConfig(dequantize=True), **arguments}
        else:
            folder = checkpoint
            check_architecture(folder, trusted=loading.trust_remote_code)
            if loading.device != "meta":
                check_weights(folder)
        attention = {} if loading.attention == "auto" else {"attn_implementation": loading.attention}
        attention |= {} if loading.experts == "auto" else {"experts_implementation": loading.experts}
        kind = getattr(torch, loading.dtype)
        try:
            reader = read_gguf(file) if file else None
            processor = (read_tokenizer(reader, file) if reader and file else None) or processor_class.from_pretrained(folder, **common)
            if not file:
                processor = prefer_tokenizer_json(processor, folder, common)
            if loading.device == "meta":
                config = _config(folder, loading, **common, **labels)
                with torch.device("meta"):
                    model = from_config(model_class, config, dtype=kind, trust_remote_code=loading.trust_remote_code, **attention)
                return _loaded(model, processor, loading)
            generation, left_out = readable_generation_config(folder, transformers.GenerationConfig)
            if left_out:
                log.warning("%s: %s", folder / "generation_config.json", left_out)
                arguments = {"generation_config": generation, **arguments}
            # a device map, not `.to()`: weights are loaded directly to the device, and quantized models can't be moved
            model, info = model_class.from_pretrained(
                folder,
                dtype=kind,
                device_map={"": loading.device},
                use_safetensors=True,
                output_loading_info=True,
                **common,
                **attention,
                **arguments,
                **labels,
                **({"config": _config(folder, loading, **common, **labels)} if loading.rope else {}),
            )
        except (ImportError, ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise loading_error(error, folder) from error
        check_loaded(_without_heads(info, model, loading.head, folder), folder)
        if reader and file:
            check_all_tensors_loaded(model, reader, file)
        check_finite(model, folder)
        if (size := getattr(model.config.get_text_config(), "vocab_size", None)) is not None:  # CANINE reads characters
            check_eos_token_ids(folder, size)
        if model.can_generate() and (note := repaired_generation_config(model.generation_config)):
            log.warning("%s: %s", folder / "generation_config.json", note)
        if file and "quantization_config" in model.config.to_dict():  # transformers marks it as quantized even if it was dequantized
            model.hf_quantizer.remove_quantization_config(model)
        return _loaded(model.eval(), processor, loading)


def _config(folder: Path, loading: Loading, **arguments: Any) -> Any:
    """Return the checkpoint's configuration, with the position embeddings of the run."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, **arguments)
    if loading.rope:
        apply_rope(config, loading.rope)
    return config


def _loaded(model: Any, processor: Any, loading: Loading) -> Loaded:
    processor = share_template(with_pad_token(processor))
    if loading.head == HIDDEN and getattr(model, "pooler", None) is not None:
        model.pooler = None  # of the first token in encoders such as BERT; vectors are pooled from the last hidden states
    if loading.head:
        accept_logits_to_keep(model, tokenizer_of(processor).pad_token_id)
    elif hears(model):
        accept_transcripts(model, SpeechProcessor(processor).blank_tensors("audio"), tokenizer_of(processor).pad_token_id)
    elif is_encoder_decoder(model):
        accept_concatenated(model, tokenizer_of(processor).pad_token_id)
    return Loaded(model, processor)


def _without_heads(info: Mapping[str, Any], model: Any, head: str, folder: Path) -> Mapping[str, Any]:
    """Return what `check_loaded` checks: without heads for a model that is loaded with another head than its own: a new one, or none.

    Heads are also those of encoders that predict masked words, and the pooler of the first token, which many checkpoints lack.
    """
    if head != HIDDEN and head == Checkpoint.at(folder).head:
        return info
    base, new = f"{model.base_model_prefix}.", tuple(f"{name}." for name in score_modules(model))

    def of_head(key: str) -> bool:
        return key.startswith((*new, *_OTHER_HEADS)) or key.removeprefix(base).startswith("pooler.")

    return {**info, **{name: [key for key in info[name] if not of_head(key)] for name in _KEYS}}


def check_architecture(folder: Path, *, trusted: bool) -> None:
    """Check that transformers has the checkpoint's architecture, unless its own code is trusted.

    Raises:
        UsageError: config.json is missing or invalid, or the architecture or its position embedding is unknown or needs the checkpoint's
            code.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            "has no config.json", code="MODEL-017", where=str(folder), hint="Check that this is the checkpoint folder."
        ) from None
    except ValueError as error:
        raise UsageError(
            f"not JSON: {error}", code="MODEL-018", where=str(folder / "config.json"), hint="Fetch the checkpoint again."
        ) from None
    model_type = config.get("model_type", "")
    if trusted:
        return
    if model_type in CONFIG_MAPPING:
        try:
            parsed = CONFIG_MAPPING[model_type].from_pretrained(folder)
        except Exception as error:  # each architecture validates its fields differently
            reason = " ".join(str(error).split())
            raise UsageError(
                f"invalid config of a '{model_type}' model: {reason}",
                code="MODEL-019",
                where=str(folder / "config.json"),
                hint="Copy it from the model's page again.",
            ) from error
        check_rope_types(parsed, folder)
        return
    if "auto_map" in config:
        raise UsageError(
            f"the architecture '{model_type}' needs Python code from the checkpoint, which is not trusted",
            code="MODEL-020",
            where=str(folder),
            hint="Review its *.py files; to trust them: --trust-remote-code org/name@revision, with the full commit as revision.",
        )
    raise UsageError(
        f"transformers has no architecture '{model_type}'",
        code="MODEL-021",
        where=str(folder / "config.json"),
        hint="pip install --upgrade transformers",
    )


def check_loaded(info: Mapping[str, Any], folder: Path) -> None:
    """Check that the checkpoint set all weights: transformers initializes missing ones randomly.

    Args:
        info: `output_loading_info` of `from_pretrained`.
        folder: the checkpoint, for messages.

    Raises:
        SwiftError: weights are missing or have other shapes.
    """
    wrong = sorted([*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])])
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise SwiftError(
            f"the checkpoint lacks {len(wrong)} of the model's weights: {shown}",
            code="MODEL-022",
            where=str(folder),
            hint="Check that it is complete and that config.json belongs to it.",
        )
    if info["unexpected_keys"]:
        log.warning(
            "%s: ignored %d weights that the architecture does not have: %s",
            folder,
            len(info["unexpected_keys"]),
            sorted(info["unexpected_keys"])[:5],
        )


def with_pad_token(processor: Any) -> Any:
    """Set the pad token to the end token if the tokenizer has none: padding is masked, so any token works."""
    tokenizer = tokenizer_of(processor)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return processor
