"""The export method of an architecture: onnxruntime-genai's model builder (0.18) if it supports it, otherwise torch.onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from swift_formats.config import quantization_of
from swift_formats.cross_encoder import logit_score_of
from swift_formats.sentence_transformers import MODULES

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError

KNOWN = (
    "Ernie4_5ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM",
    "HunYuanDenseV1ForCausalLM", "InternLM2ForCausalLM", "Lfm2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
    "NemotronForCausalLM", "OlmoForCausalLM", "PhiForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)  # fmt: skip

ExportMethod = Literal["builder", "decoder", "sequence classifier", "token classifier", "embedder"]
"""Method by which a checkpoint is exported: by the model builder, or by torch.onnx as one of the others."""

_TRACED: tuple[tuple[str, ExportMethod], ...] = (
    ("ForSequenceClassification", "sequence classifier"),
    ("ForTokenClassification", "token classifier"),
    ("ForCausalLM", "decoder"),
    ("LMHeadModel", "decoder"),
    ("Model", "embedder"),
)
_TRACED_TYPES = ("fp32", "fp16")


def export_method(checkpoint: Path) -> ExportMethod:
    """Return the export method, from `architectures` in config.json and the presence of sentence-transformers' `modules.json`.

    Raises:
        UsageError: the architecture is not supported, the weights are quantized, or this is not a safetensors checkpoint.
    """
    if (found := Checkpoint.at(checkpoint).format) != "safetensors":
        raise UsageError(
            f"expected a safetensors checkpoint, found {found}", code="EXPORT-002", where=str(checkpoint), hint="Merge or convert it first."
        )
    config = Checkpoint.at(checkpoint).config
    if quantization_of(config):
        raise UsageError(
            "the checkpoint is already quantized", code="EXPORT-003", where=str(checkpoint), hint="Export the full-precision model."
        )
    named = str((config.get("architectures") or ["?"])[0])
    method: ExportMethod | None = "builder" if named in KNOWN else next((kind for ending, kind in _TRACED if named.endswith(ending)), None)
    if (checkpoint / MODULES).is_file() and logit_score_of(checkpoint) is None and not str(method).endswith("classifier"):
        method = "embedder"  # a sentence-transformers model, whatever its base architecture
    if method is None or config.get("is_encoder_decoder"):
        hint = "Supported: decoders, encoders, sequence and token classifiers; see `architectures` in config.json."
        raise UsageError(f"ONNX export does not support the architecture {named}", code="EXPORT-048", where=str(checkpoint), hint=hint)
    return method


def check_type(method: ExportMethod, type_: str) -> None:
    """Check that the export method supports the type.

    Raises:
        UsageError: it does not.
    """
    if method != "builder" and type_ not in _TRACED_TYPES:
        message = f"{type_} needs onnxruntime-genai's model builder, which does not support this architecture"
        raise UsageError(message, code="EXPORT-049", where="type", hint=f"Use --type {' or '.join(_TRACED_TYPES)}.")
