"""What onnxruntime-genai's builder (0.18) makes a decoder of."""

from __future__ import annotations

from pathlib import Path

from swift_core.checkpoint import checkpoint_format, quantization_of, read_config
from swift_core.errors import UsageError, suggestion

KNOWN = (
    "Ernie4_5ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM",
    "HunYuanDenseV1ForCausalLM", "InternLM2ForCausalLM", "Lfm2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
    "NemotronForCausalLM", "OlmoForCausalLM", "PhiForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)  # fmt: skip


def check_architecture(checkpoint: Path) -> None:
    """See that the builder knows the checkpoint's architecture and that its weights are whole.

    Raises:
        UsageError: it does not, they are quantized, or this is no checkpoint.
    """
    if (found := checkpoint_format(checkpoint)) != "safetensors":
        raise UsageError(f"this is {found}, and ONNX is made of safetensors", where=str(checkpoint), hint="Merge or convert it first.")
    config = read_config(checkpoint)
    named = str((config.get("architectures") or ["?"])[0])
    if named not in KNOWN:
        hint = f"{suggestion(named, KNOWN)} Known: {', '.join(KNOWN)}.".strip()
        raise UsageError(f"onnxruntime-genai makes no decoder of the architecture {named}", where=str(checkpoint), hint=hint)
    if quantization_of(config):
        raise UsageError("the checkpoint is quantized already", where=str(checkpoint), hint="Export the full-precision model.")
