"""Meta's Llama, and the many models with the same architecture: Yi, SmolLM2, TinyLlama, DeepSeek-LLM, Falcon3, …"""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, multimodal

FAMILIES = (
    ModelFamily(
        name="llama",
        summary="Llama 1 to 3, and models with the same architecture: Yi, SmolLM2, Vicuna, TinyLlama",
        also=("llama2", "llama3", "smollm2", "tinyllama", "vicuna"),
        architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
        model_types=("llama",),
        targets=LLAMA,
        stop_tokens=("<|eot_id|>", "<|eom_id|>", "<|im_end|>"),  # the first two are Llama 3's, the third is ChatML's (SmolLM2, Yi)
        tool_parser="llama3_json",
        hub_ids=(
            "meta-llama/Llama-3.1-8B-Instruct",
            "meta-llama/Llama-3.2-1B-Instruct",
            "meta-llama/Llama-3.3-70B-Instruct",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "HuggingFaceTB/SmolLM2-1.7B-Instruct",
            "01-ai/Yi-1.5-9B-Chat",
            "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        ),
    ),
    ModelFamily(
        name="mllama",
        summary="Llama 3.2 Vision: image input through cross-attention layers",
        also=("llama3_2_vision",),
        architectures=("MllamaForConditionalGeneration",),
        model_types=("mllama",),
        targets=LLAMA,
        **multimodal(tower="model.vision_model", aligner="model.multi_modal_projector"),
        modalities=("text", "image"),
        stop_tokens=("<|eot_id|>", "<|eom_id|>"),
        tool_parser="llama3_json",
        hub_ids=("meta-llama/Llama-3.2-11B-Vision-Instruct",),
    ),
    ModelFamily(
        name="llama4",
        summary="Llama 4 Scout and Maverick: mixture of experts with a vision tower",
        architectures=("Llama4ForConditionalGeneration",),
        model_types=("llama4",),
        targets=LLAMA,  # the routed experts are fused parameters; the shared expert has linear layers
        blocks="language_model.model.layers",
        embeddings="language_model.model.embed_tokens",
        head="language_model.lm_head",
        language_model="language_model",
        vision_tower="vision_model",
        aligner="multi_modal_projector",
        skip_quantization=("lm_head", "router", "vision_model", "multi_modal_projector"),
        modalities=("text", "image"),
        stop_tokens=("<|eot|>", "<|eom|>"),
        tool_parser="llama4_pythonic",
        hub_ids=("meta-llama/Llama-4-Scout-17B-16E-Instruct",),
    ),
    ModelFamily(
        name="llama4_text",
        summary="Llama 4 without its vision tower",
        architectures=("Llama4ForCausalLM",),
        model_types=("llama4_text",),
        targets=LLAMA,
        skip_quantization=("lm_head", "router"),
        stop_tokens=("<|eot|>", "<|eom|>"),
        tool_parser="llama4_pythonic",
    ),
)
