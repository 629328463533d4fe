"""Architectures and quantizations that TensorRT-LLM's PyTorch backend supports, as documented in November 2026.

https://nvidia.github.io/TensorRT-LLM/models/supported-models.html
"""

from __future__ import annotations

from pathlib import Path

from swift_formats.config import quantization_of

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError, suggestion
from swift_plugin_tensorrt.options import TensorrtOptions

KNOWN = (
    "DeciLMForCausalLM", "DeepseekV3ForCausalLM", "Exaone4ForCausalLM", "Gemma3ForCausalLM", "Glm4MoeForCausalLM", "GptOssForCausalLM",
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "NemotronForCausalLM", "NemotronHForCausalLM",
    "NemotronNASForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM",
)  # fmt: skip
QUANTIZED = ("modelopt", "fp8", "mxfp4")
MODELOPT = "hf_quant_config.json"  # written by ModelOpt beside config.json


def check_checkpoint(checkpoint: Path, options: TensorrtOptions) -> None:
    """Check that TensorRT-LLM supports the checkpoint and can shard it as requested.

    Raises:
        UsageError: the architecture or quantization is not supported, the tokenizer is missing, or a parallel size does not fit the model.
    """
    if (found := Checkpoint.at(checkpoint).format) != "safetensors":
        raise UsageError(
            f"expected a safetensors checkpoint, found {found}", code="SERVE-034", where="model", hint="Merge or convert it first."
        )
    config = Checkpoint.at(checkpoint).config
    named = str((config.get("architectures") or ["?"])[0])
    if named not in KNOWN:
        hint = f"{suggestion(named, KNOWN)} Supported: {', '.join(KNOWN)}.".strip()
        raise UsageError(f"TensorRT-LLM does not support the architecture {named}", code="SERVE-035", where="model", hint=hint)
    method = quantization_of(config)
    if method and method not in QUANTIZED and not (checkpoint / MODELOPT).is_file():
        hint = f"Supported: {', '.join(QUANTIZED)}, or ModelOpt checkpoints with {MODELOPT}."
        raise UsageError(f"TensorRT-LLM does not support checkpoints quantized with {method}", code="SERVE-036", where="model", hint=hint)
    if not any((checkpoint / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise UsageError(
            "the checkpoint has no tokenizer", code="SERVE-037", where="model", hint="Copy the tokenizer's files into the folder."
        )
    heads, layers = int(config.get("num_attention_heads") or 0), int(config.get("num_hidden_layers") or 0)
    if heads % options.tensor_parallel_size:
        divisors = [str(size) for size in range(1, heads + 1) if heads % size == 0]
        message = f"{heads} attention heads can't be divided among {options.tensor_parallel_size} GPUs"
        raise UsageError(message, code="SERVE-038", where="tensor_parallel_size", hint=f"Use one of {', '.join(divisors)}.")
    if options.pipeline_parallel_size > layers:
        message = f"{layers} layers can't be divided among {options.pipeline_parallel_size} GPUs"
        raise UsageError(message, code="SERVE-039", where="pipeline_parallel_size", hint=f"Use at most {layers}.")
