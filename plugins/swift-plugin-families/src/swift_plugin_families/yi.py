"""01.AI's Yi as first published. Its current repositories are plain Llamas, which the `llama` family covers."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA

FAMILIES = (
    ModelFamily(
        name="yi",
        summary="The first Yi checkpoints, with remote code",
        architectures=("YiForCausalLM",),
        model_types=("Yi",),
        targets=LLAMA,
        stop_tokens=("<|im_end|>",),
        remote_code=True,
    ),
)
