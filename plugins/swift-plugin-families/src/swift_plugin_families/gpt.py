"""GPT-named models: OpenAI's open models, EleutherAI's and BigCode's."""

from __future__ import annotations

from swift_core.contract import ModelFamily
from swift_plugin_families.layouts import ATTENTION, NEOX, Layout

GPT2 = ("c_attn", "c_proj", "c_fc")
STEMS: Layout = {"blocks": "transformer.h", "embeddings": "transformer.wte"}

FAMILIES = (
    ModelFamily(
        name="gpt2",
        summary="GPT-2: its layers are transformers' Conv1D, a linear layer with a transposed weight",
        architectures=("GPT2LMHeadModel",),
        model_types=("gpt2",),
        targets=GPT2,
        **STEMS,
        hub_ids=("openai-community/gpt2", "openai-community/gpt2-xl"),
    ),
    ModelFamily(
        name="gpt_oss",
        summary="gpt-oss: the experts are fused parameters, so adapters train the attention",
        architectures=("GptOssForCausalLM",),
        model_types=("gpt_oss",),
        targets=ATTENTION,
        skip_quantization=("lm_head", "mlp.router"),
        stop_tokens=("<|return|>", "<|call|>"),
        tool_parser="openai",
        reasoning_parser="openai_gptoss",
        hub_ids=("openai/gpt-oss-20b", "openai/gpt-oss-120b"),
    ),
    ModelFamily(
        name="gpt_neo",
        summary="GPT-Neo",
        architectures=("GPTNeoForCausalLM",),
        model_types=("gpt_neo",),
        targets=("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
        **STEMS,
        hub_ids=("EleutherAI/gpt-neo-125m",),
    ),
    ModelFamily(
        name="gptj",
        summary="GPT-J",
        architectures=("GPTJForCausalLM",),
        model_types=("gptj",),
        targets=("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
        **STEMS,
        hub_ids=("EleutherAI/gpt-j-6b",),
    ),
    ModelFamily(
        name="gpt_neox",
        summary="GPT-NeoX and Pythia",
        also=("pythia",),
        architectures=("GPTNeoXForCausalLM",),
        model_types=("gpt_neox",),
        targets=NEOX,
        blocks="gpt_neox.layers",
        embeddings="gpt_neox.embed_in",
        hub_ids=("EleutherAI/pythia-70m", "EleutherAI/gpt-neox-20b"),
    ),
    ModelFamily(
        name="gpt_bigcode",
        summary="StarCoder and SantaCoder",
        also=("starcoder",),
        architectures=("GPTBigCodeForCausalLM",),
        model_types=("gpt_bigcode",),
        targets=GPT2,
        **STEMS,
        hub_ids=("bigcode/starcoder",),
    ),
    ModelFamily(
        name="starcoder2",
        summary="StarCoder2",
        architectures=("Starcoder2ForCausalLM",),
        model_types=("starcoder2",),
        targets=(*ATTENTION, "c_fc", "c_proj"),
        hub_ids=("bigcode/starcoder2-3b",),
    ),
)
