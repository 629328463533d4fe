"""Shanghai AI Lab's InternLM and InternVL."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import LLAMA, LLAVA

FAMILIES = (
    ModelFamily(
        name="internlm",
        summary="The first InternLM, with remote code",
        architectures=("InternLMForCausalLM",),
        model_types=("internlm",),
        targets=LLAMA,
        stop_tokens=("<eoa>",),
        remote_code=True,
        hub_ids=("internlm/internlm-chat-7b",),
    ),
    ModelFamily(
        name="internlm2",
        summary="InternLM2 and InternLM2.5, with remote code",
        also=("internlm2_5",),
        architectures=("InternLM2ForCausalLM",),
        model_types=("internlm2",),
        targets=("wqkv", "wo", "w1", "w2", "w3"),
        skip_quantization=("output",),
        embeddings="model.tok_embeddings",
        head="output",
        stop_tokens=("<|im_end|>",),
        tool_parser="internlm",
        remote_code=True,
        hub_ids=("internlm/internlm2_5-7b-chat", "internlm/internlm2_5-1_8b-chat"),
    ),
    ModelFamily(
        name="internlm3",
        summary="InternLM3, which transformers loads as a Llama",
        architectures=("InternLM3ForCausalLM",),
        model_types=("internlm3",),
        targets=LLAMA,
        stop_tokens=("<|im_end|>",),
        hub_ids=("internlm/internlm3-8b-instruct",),
    ),
    ModelFamily(
        name="internvl",
        summary="InternVL 3 and Intern-S1 in the layout of transformers (repositories that end in -hf)",
        architectures=("InternVLForConditionalGeneration",),
        model_types=("internvl",),
        targets=LLAMA,
        **LLAVA,
        modalities=("text", "image", "video"),
        stop_tokens=("<|im_end|>",),
        hub_ids=("OpenGVLab/InternVL3-1B-hf", "OpenGVLab/InternVL3-8B-hf"),
    ),
)
