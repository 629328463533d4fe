"""LG's EXAONE."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA

STOP = ("[|endofturn|]",)

FAMILIES = (
    ModelFamily(
        name="exaone",
        summary="EXAONE 3 and 3.5, with remote code",
        architectures=("ExaoneForCausalLM",),
        model_types=("exaone",),
        targets=("q_proj", "k_proj", "v_proj", "out_proj", "c_fc_0", "c_fc_1", "c_proj"),
        blocks="transformer.h",
        embeddings="transformer.wte",
        stop_tokens=STOP,
        remote_code=True,
        hub_ids=("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct",),
    ),
    ModelFamily(
        name="exaone4",
        summary="EXAONE 4",
        architectures=("Exaone4ForCausalLM",),
        model_types=("exaone4",),
        targets=LLAMA,
        stop_tokens=STOP,
        tool_parser="hermes",
        hub_ids=("LGAI-EXAONE/EXAONE-4.0-1.2B", "LGAI-EXAONE/EXAONE-4.0-32B"),
    ),
    ModelFamily(
        name="exaone_moe",
        summary="K-EXAONE: mixture of experts with a shared expert",
        architectures=("ExaoneMoeForCausalLM",),
        model_types=("exaone_moe",),
        targets=LLAMA,
        skip_quantization=("lm_head", "mlp.gate"),
        hub_ids=("LGAI-EXAONE/K-EXAONE-236B-A23B",),
    ),
)
