"""What becomes of a checkpoint: a decoder by onnxruntime-genai's builder (0.18) where it knows the architecture, else torch's own graph."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from swift_core.checkpoints.manifest import checkpoint_format, quantization_of, read_config
from swift_core.contract.errors import UsageError
from swift_plugin_onnx.pooling import MODULES

KNOWN = (
    "Ernie4_5ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM",
    "HunYuanDenseV1ForCausalLM", "InternLM2ForCausalLM", "Lfm2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
    "NemotronForCausalLM", "OlmoForCausalLM", "PhiForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)  # fmt: skip

ExportMethod = Literal["builder", "decoder", "sequence classifier", "token classifier", "embedder"]
"""How a checkpoint is exported: by the builder, or by torch.onnx as one of the others."""

_TRACED: tuple[tuple[str, ExportMethod], ...] = (
    ("ForSequenceClassification", "sequence classifier"),
    ("ForTokenClassification", "token classifier"),
    ("ForCausalLM", "decoder"),
    ("LMHeadModel", "decoder"),
    ("Model", "embedder"),
)
_TRACED_TYPES = ("fp32", "fp16")


def export_method(checkpoint: Path) -> ExportMethod:
    """How the checkpoint is exported, told from `architectures` in its configuration, and whether sentence-transformers made it.

    Raises:
        UsageError: in no method, its weights are quantized, or this is no checkpoint.
    """
    if (found := checkpoint_format(checkpoint)) != "safetensors":
        raise UsageError(f"this is {found}, and ONNX is made of safetensors", where=str(checkpoint), hint="Merge or convert it first.")
    config = read_config(checkpoint)
    if quantization_of(config):
        raise UsageError("the checkpoint is quantized already", where=str(checkpoint), hint="Export the full-precision model.")
    named = str((config.get("architectures") or ["?"])[0])
    method: ExportMethod | None = (
        "builder" if named in KNOWN else next((method for ending, method in _TRACED if named.endswith(ending)), None)
    )
    if (checkpoint / MODULES).is_file() and not str(method).endswith("classifier"):
        method = "embedder"  # of sentence-transformers, whatever it was made of
    if method is None or config.get("is_encoder_decoder"):
        hint = "Decoders, encoders, and classifiers of sequences and of tokens are; see `architectures` in config.json."
        raise UsageError(f"models of the architecture {named} are not exported to ONNX", where=str(checkpoint), hint=hint)
    return method


def check_type(method: ExportMethod, type_: str) -> None:
    """See that what is exported this method can be had in the type.

    Raises:
        UsageError: it can't.
    """
    if method != "builder" and type_ not in _TRACED_TYPES:
        message = f"{type_} is made by onnxruntime-genai's builder, which does not know this architecture"
        raise UsageError(message, where="type", hint=f"Choose --type {' or '.join(_TRACED_TYPES)}.")
