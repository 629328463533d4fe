"""Looks for the blocks where they are not."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ModelFamily


@hookimpl
def swift_families():
    return [
        ModelFamily(
            name="bad-llama",
            summary="Llama, misread",
            architectures=("LlamaForCausalLM",),
            model_types=("llama",),
            targets=("q_proj",),
            blocks="transformer.h",
        )
    ]
