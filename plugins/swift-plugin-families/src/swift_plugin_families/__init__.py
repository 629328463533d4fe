"""Model families as data: one module per vendor, each with a tuple of `swift_core.contract.specs.ModelFamily`.

`targets` are the names of the layers below `blocks` that are `nn.Linear` (GPT-2: `Conv1D`) in transformers 5. The routed experts of most
mixture-of-experts models are fused three-dimensional parameters there and not layers, so adapters train attention, dense and
shared-expert layers. Linear layers of a block that are not targets (routers, weights that a fused kernel reads directly) are in
`skip_quantization`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from swift_core.contract import Settings, VerbSpec

VENDORS = (
    baichuan, command, deepseek, exaone, falcon, gemma, glm, gpt, granite, internlm, liquid, llama, llava, mamba, minicpm, mistral, olmo,
    others, phi, qwen, qwen_vl, smollm, yi,
)  # fmt: skip

SWIFT_EXAMPLES = Ref("swift_plugin_families.examples:EXAMPLES")


@hookimpl
def swift_families() -> list[ModelFamily]:
    """Return all families of all vendors."""
    return [family for vendor in VENDORS for family in vendor.FAMILIES]


@hookimpl
def swift_settings(verb: VerbSpec, settings: Settings, environment: Mapping[str, str]) -> Iterable[str]:
    """Read ms-swift's names of model types."""
    if not settings.given("family"):
        return []
    from swift_plugin_families import other_names

    return list(other_names.apply(verb, settings))
