"""DeepSeek's mixture-of-experts models with latent attention, and Kimi K2, which has the same architecture.

DeepSeek-LLM is a Llama, and the R1 distillations are Llamas and Qwens.
"""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LATENT, LLAMA, multimodal

STOP = ("<｜end▁of▁sentence｜>",)

FAMILIES = (
    ModelFamily(
        name="deepseek_v2",
        summary="DeepSeek-V2, V2-Lite, V2.5, Coder-V2",
        architectures=("DeepseekV2ForCausalLM",),
        model_types=("deepseek_v2",),
        targets=(*LATENT, "q_proj"),
        skip_quantization=("lm_head", "mlp.gate"),
        stop_tokens=STOP,
        hub_ids=("deepseek-ai/DeepSeek-V2-Lite-Chat", "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct"),
    ),
    ModelFamily(
        name="deepseek_v3",
        summary="DeepSeek-V3, V3.1, R1; Kimi K2 and Moonlight",
        also=("deepseek_r1", "kimi_k2", "moonlight"),
        architectures=("DeepseekV3ForCausalLM",),
        model_types=("deepseek_v3",),
        targets=(*LATENT, "q_proj"),
        skip_quantization=("lm_head", "mlp.gate"),
        stop_tokens=(*STOP, "<|im_end|>"),  # the second is Kimi's
        tool_parser="deepseek_v3",
        reasoning_parser="deepseek_r1",
        hub_ids=("deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-R1-0528", "moonshotai/Moonlight-16B-A3B-Instruct"),
    ),
    ModelFamily(
        name="deepseek_v32",
        summary="DeepSeek-V3.2: sparse attention with an indexer",
        architectures=("DeepseekV32ForCausalLM",),
        model_types=("deepseek_v32",),
        targets=LATENT,
        skip_quantization=("lm_head", "mlp.gate", "wq_b", "wk", "weights_proj"),
        stop_tokens=STOP,
        tool_parser="deepseek_v32",
        reasoning_parser="deepseek_v3",
        hub_ids=("deepseek-ai/DeepSeek-V3.2",),
    ),
    ModelFamily(
        name="deepseek_vl",
        summary="DeepSeek-VL 1.3B in the layout of transformers",
        architectures=("DeepseekVLForConditionalGeneration",),
        model_types=("deepseek_vl",),
        targets=LLAMA,
        **multimodal(tower="model.vision_model", aligner="model.aligner"),
        modalities=("text", "image"),
        stop_tokens=STOP,
        hub_ids=("deepseek-community/deepseek-vl-1.3b-chat",),
    ),
)
