"""IBM's Granite."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import ATTENTION, LLAMA

STOP = ("<|end_of_text|>",)
SHARED = (*ATTENTION, "input_linear", "output_linear")  # the shared expert; the routed ones are fused parameters
ROUTER = "block_sparse_moe.router"

FAMILIES = (
    ModelFamily(
        name="granite",
        summary="Granite 3 and the dense Granite 4",
        architectures=("GraniteForCausalLM",),
        model_types=("granite",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="granite",
        reasoning_parser="granite",
        hub_ids=("ibm-granite/granite-3.3-2b-instruct", "ibm-granite/granite-3.3-8b-instruct"),
    ),
    ModelFamily(
        name="granitemoe",
        summary="Granite 3 mixture of experts",
        architectures=("GraniteMoeForCausalLM",),
        model_types=("granitemoe",),
        targets=ATTENTION,
        skip_quantization=("lm_head", ROUTER),
        stop_tokens=STOP,
        tool_parser="granite",
        hub_ids=("ibm-granite/granite-3.1-1b-a400m-instruct",),
    ),
    ModelFamily(
        name="granitemoeshared",
        summary="Granite mixture of experts with a shared expert",
        architectures=("GraniteMoeSharedForCausalLM",),
        model_types=("granitemoeshared",),
        targets=SHARED,
        skip_quantization=("lm_head", ROUTER),
        stop_tokens=STOP,
    ),
    ModelFamily(
        name="granitemoehybrid",
        summary="Granite 4: hybrid of Mamba 2 and attention, with and without experts",
        also=("granite4",),
        architectures=("GraniteMoeHybridForCausalLM",),
        model_types=("granitemoehybrid",),
        targets=(*SHARED, "in_proj"),
        skip_quantization=(
            "lm_head",
            ROUTER,
            "mamba.out_proj",
        ),  # the fused Mamba kernel reads out_proj's weight directly and bypasses adapters
        stop_tokens=STOP,
        tool_parser="granite4",
        hub_ids=("ibm-granite/granite-4.0-h-micro", "ibm-granite/granite-4.0-h-small", "ibm-granite/granite-4.0-micro"),
    ),
)
