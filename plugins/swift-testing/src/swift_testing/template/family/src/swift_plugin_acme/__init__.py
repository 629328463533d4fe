"""A model family: an architecture described as data. This one is a Llama under another name."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ModelFamily


@hookimpl
def swift_families() -> list[ModelFamily]:
    """Return one family, recognised by the `architectures` in a checkpoint's `config.json`."""
    return [
        ModelFamily(
            name="acme",
            summary="Acme, a Llama with ChatML turns",
            architectures=("AcmeForCausalLM",),
            targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
            stop_tokens=("<|im_end|>",),
        )
    ]
