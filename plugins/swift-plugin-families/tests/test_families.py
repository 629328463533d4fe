"""Every family that transformers knows is held against the modules that transformers builds, on the meta device (no weights)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import swift_plugin_families

from swift_core.specs import ModelFamily

FAMILIES = swift_plugin_families.swift_model_families()
NATIVE = [family for family in FAMILIES if not family.remote_code]
MULTIMODAL = [family for family in NATIVE if len(family.modalities) > 1]

DENSE_FIRST = {"first_k_dense_replace": 1}
HYBRID = {"layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"]}
CONVOLUTION = {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}
SHORT: dict[str, Any] = {"num_hidden_layers": 4}

# Where the default configuration has not every kind of layer, or none: the configurations that have.
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "bamba": [{"attn_layer_indices": [1]}],
    "deepseek_v2": [DENSE_FIRST, {"q_lora_rank": None}],
    "deepseek_v3": [DENSE_FIRST, {"q_lora_rank": None}],
    "deepseek_v32": [DENSE_FIRST],
    "dots1": [{**DENSE_FIRST, "n_routed_experts": 4, "n_shared_experts": 1}],
    "gemma4_text": [{"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 64}],
    "glm4_moe": [DENSE_FIRST],
    "gpt_neo": [{"num_hidden_layers": 4, "attention_types": [[["global", "local"], 2]]}],
    "granitemoehybrid": [{**HYBRID, "num_local_experts": 4, "shared_intermediate_size": 64}],
    "granitemoeshared": [{"shared_intermediate_size": 64}],
    "hunyuan_v1_dense": [{"head_dim": 64}],
    "hunyuan_v1_moe": [{"head_dim": 64}],
    "jamba": [{"num_hidden_layers": 8}],
    "lfm2": [CONVOLUTION],
    "lfm2_moe": [CONVOLUTION],
    "llama4_text": [{"interleave_moe_layer_step": 2}],
    "ministral": [{"head_dim": 64}],
    "nemotron": [{"head_dim": 64, "num_key_value_heads": 8}],
    "nemotron_h": [{"num_hidden_layers": None}],
    "qwen2_moe": [{"mlp_only_layers": [0]}],
    "qwen3_moe": [{"mlp_only_layers": [0]}],
}
TEXT_CONFIGS: dict[str, dict[str, Any]] = {
    "gemma4": {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 64},
    "glm46v": {"model_type": "glm4v_text"},
    "glm4v_moe": DENSE_FIRST,
    "lfm2_vl": {"model_type": "lfm2", **CONVOLUTION},
    "llama4": {"interleave_moe_layer_step": 2},
    "paligemma": {"model_type": "gemma"},
    "qwen3_vl_moe": {"mlp_only_layers": [0]},
}
# What is in none of the three parts, and so is never trained by part: towers beyond vision, a separator of image rows.
OUTSIDE = {
    "gemma4": ("model.audio_tower.", "model.embed_audio."),
    "llava_next": ("model.image_newline",),
    "llava_onevision": ("model.image_newline",),
}


def configurations(model_type: str) -> Iterator[Any]:
    from transformers import CONFIG_MAPPING, AutoConfig

    config_class = CONFIG_MAPPING[model_type]
    parts = config_class.sub_configs
    if "text_config" not in parts:
        for values in CONFIGS.get(model_type, [{}]):
            yield config_class(**{**SHORT, **values})
        return
    text = {**SHORT, **TEXT_CONFIGS.get(model_type, {})}
    if parts["text_config"] is AutoConfig:  # any language model goes
        text.setdefault("model_type", "llama")
    yield config_class(**{part: text if part == "text_config" else {} for part in parts})


@cache
def models(name: str) -> list[Any]:
    """A native family's models, of the class that transformers has for each model type and configuration, on the meta device."""
    (family,) = (family for family in NATIVE if family.name == name)
    return list(build(family))


def build(family: ModelFamily) -> Iterator[Any]:
    import torch
    import transformers
    from transformers.models.auto import modeling_auto as auto

    for model_type in family.model_types:
        if model_type not in transformers.CONFIG_MAPPING:  # an older spelling of the repository's own code
            continue
        name = auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(model_type) or auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
        for config in configurations(model_type):
            with torch.device("meta"):
                yield getattr(transformers, name)(config)


def linears(model: Any) -> Iterator[str]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return (name for name, module in model.named_modules() if isinstance(module, Linear | Conv1D))


def below(prefix: str, name: str) -> bool:
    return name.startswith(f"{prefix}.")


@pytest.mark.parametrize("family", NATIVE, ids=lambda family: family.name)
class TestAgainstTransformers:
    def test_targets_are_the_linear_layers_of_the_blocks(self, family: ModelFamily) -> None:
        names = {name for model in models(family.name) for name in linears(model) if below(family.blocks, name)}
        assert names, "no linear layer in the blocks"
        others = {name for name in names if name.rpartition(".")[2] not in family.targets}
        forgotten = {re.sub(r"\.\d+\.", ".N.", name) for name in others if not name.endswith(family.skip_quantization)}
        assert not forgotten, "neither a target nor skipped"
        missing = set(family.targets) - {name.rpartition(".")[2] for name in names}
        assert not missing, "targets that are no linear layer"

    def test_targets_are_no_routers(self, family: ModelFamily) -> None:
        names = {name for model in models(family.name) for name in linears(model) if name.rpartition(".")[2] in family.targets}
        assert not [name for name in names if re.search(r"router|\.gate$|\.gate\.|expert_gate$", name)]

    def test_skipped_modules_exist(self, family: ModelFamily) -> None:
        names = {name for model in models(family.name) for name, _ in model.named_modules()}
        assert not [skip for skip in family.skip_quantization if not any(name.endswith(skip) for name in names)]

    def test_paths(self, family: ModelFamily) -> None:
        from torch.nn import ModuleList

        for model in models(family.name):
            assert isinstance(model.get_submodule(family.blocks), ModuleList)
            assert model.get_submodule(family.embeddings) is model.get_input_embeddings()
            assert model.get_submodule(family.head) is model.get_output_embeddings()

    def test_architectures_name_the_class(self, family: ModelFamily) -> None:
        import transformers

        classes = {type(model).__name__ for model in models(family.name)}
        known = {name for name in family.architectures if hasattr(transformers, name)}
        assert known <= classes
        assert known or family.name == "internlm3", "internlm3 alone has a class of another name: Llama's"


@pytest.mark.parametrize("family", MULTIMODAL, ids=lambda family: family.name)
def test_prefixes_partition_the_parameters(family: ModelFamily) -> None:
    prefixes = [prefix for prefix in (family.language_model, family.vision_tower, family.aligner) if prefix]
    assert len(prefixes) == 3
    (model,) = models(family.name)
    owners: dict[str, int] = dict.fromkeys(prefixes, 0)
    for name, _ in model.named_parameters():
        if below(family.head, name) or name.startswith(OUTSIDE.get(family.name, ("\0",))):
            continue
        owner = max((prefix for prefix in prefixes if below(prefix, name)), key=len, default="")
        assert owner, f"{name} belongs to no part"
        owners[owner] += 1
    assert all(owners.values()), f"a part without parameters: {owners}"
    assert below(family.language_model, family.blocks)
    assert below(family.language_model, family.embeddings)


def test_text_models_name_no_parts() -> None:
    assert not [
        family.name
        for family in FAMILIES
        if family.modalities == ("text",) and (family.language_model or family.vision_tower or family.aligner)
    ]


def test_remote_code_is_said_where_transformers_has_no_class() -> None:
    from transformers import CONFIG_MAPPING

    assert not [family.name for family in FAMILIES if family.remote_code and set(family.model_types) & set(CONFIG_MAPPING)]


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param([name for family in FAMILIES for name in (family.name, *family.also)], id="names"),
        pytest.param([name for family in FAMILIES for name in family.architectures], id="architectures"),
        pytest.param([name for family in FAMILIES for name in family.model_types], id="model types"),
        pytest.param([name for family in FAMILIES for name in family.hub_ids], id="hub ids"),
    ],
)
def test_nothing_is_claimed_twice(claims: list[str]) -> None:
    assert sorted(claims) == sorted(set(claims))


def test_every_family_says_how_to_find_it() -> None:
    for family in FAMILIES:
        assert family.architectures, family.name
        assert family.model_types, family.name
        assert family.targets, family.name
        assert not family.summary.endswith("."), family.name
