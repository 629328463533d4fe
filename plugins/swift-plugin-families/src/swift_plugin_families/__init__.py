"""Model families as data: one module a vendor, each a tuple of `swift_core.contract.specs.ModelFamily`.

`targets` name the layers that are `nn.Linear` (GPT-2: `Conv1D`) in transformers 5, found below `blocks`. There the routed experts of
most mixtures are fused three-dimensional parameters, not layers, so that adapters train attention, dense and shared-expert layers.
What is a linear layer in a block but no target (routers, weights that a fused kernel reads directly) is in `skip_quantization`.
"""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ModelFamily, Ref
from swift_plugin_families import (
    baichuan,
    command,
    deepseek,
    exaone,
    falcon,
    gemma,
    glm,
    gpt,
    granite,
    internlm,
    liquid,
    llama,
    llava,
    mamba,
    minicpm,
    mistral,
    olmo,
    others,
    phi,
    qwen,
    qwen_vl,
    smollm,
    yi,
)

VENDORS = (
    baichuan, command, deepseek, exaone, falcon, gemma, glm, gpt, granite, internlm, liquid, llama, llava, mamba, minicpm, mistral, olmo,
    others, phi, qwen, qwen_vl, smollm, yi,
)  # fmt: skip

SWIFT_EXAMPLES = Ref("swift_plugin_families.examples:EXAMPLES")


@hookimpl
def swift_model_families() -> list[ModelFamily]:
    """Every family of every vendor."""
    return [family for vendor in VENDORS for family in vendor.FAMILIES]
