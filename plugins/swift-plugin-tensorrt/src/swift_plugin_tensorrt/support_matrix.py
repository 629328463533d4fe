"""What TensorRT-LLM's PyTorch backend reads: https://nvidia.github.io/TensorRT-LLM/models/supported-models.html, read in November 2026."""

from __future__ import annotations

from pathlib import Path

from swift_core.checkpoints.manifest import checkpoint_format, quantization_of, read_config
from swift_core.contract.errors import UsageError, suggestion
from swift_plugin_tensorrt.options import TensorrtOptions

KNOWN = (
    "DeciLMForCausalLM", "DeepseekV3ForCausalLM", "Exaone4ForCausalLM", "Gemma3ForCausalLM", "Glm4MoeForCausalLM", "GptOssForCausalLM",
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "NemotronForCausalLM", "NemotronHForCausalLM",
    "NemotronNASForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM",
)  # fmt: skip
QUANTIZED = ("modelopt", "fp8", "mxfp4")
MODELOPT = "hf_quant_config.json"  # ModelOpt's own file, beside config.json


def check_checkpoint(checkpoint: Path, options: TensorrtOptions) -> None:
    """See that the server can read the checkpoint and cut it as is asked.

    Raises:
        UsageError: an architecture or a quantization that it does not read, no tokenizer, or sizes that do not divide.
    """
    if (found := checkpoint_format(checkpoint)) != "safetensors":
        raise UsageError(f"this is {found}", where="model", hint="TensorRT-LLM reads safetensors checkpoints: merge or convert it first.")
    config = read_config(checkpoint)
    named = str((config.get("architectures") or ["?"])[0])
    if named not in KNOWN:
        hint = f"{suggestion(named, KNOWN)} Known: {', '.join(KNOWN)}.".strip()
        raise UsageError(f"TensorRT-LLM's documentation lists no architecture {named}", where="model", hint=hint)
    method = quantization_of(config)
    if method and method not in QUANTIZED and not (checkpoint / MODELOPT).is_file():
        hint = f"It reads {', '.join(QUANTIZED)}, or ModelOpt's {MODELOPT} beside the weights."
        raise UsageError(f"TensorRT-LLM does not read checkpoints quantized by {method}", where="model", hint=hint)
    if not any((checkpoint / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise UsageError("the checkpoint has no tokenizer", where="model", hint="Copy the tokenizer's files into the folder.")
    heads, layers = int(config.get("num_attention_heads") or 0), int(config.get("num_hidden_layers") or 0)
    if heads % options.tensor_parallel_size:
        fits = [str(size) for size in range(1, heads + 1) if heads % size == 0]
        message = f"{heads} heads can't be shared by {options.tensor_parallel_size} GPUs"
        raise UsageError(message, where="tensor_parallel_size", hint=f"These divide: {', '.join(fits)}.")
    if options.pipeline_parallel_size > layers:
        message = f"{layers} layers can't be spread over {options.pipeline_parallel_size} GPUs"
        raise UsageError(message, where="pipeline_parallel_size", hint="Use fewer.")
