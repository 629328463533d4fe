"""Conversion of weights from transformers to megatron-core's shards and back, bit-exact, without megatron-core."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch
from swift_plugin_megatron import layout, maps
from swift_plugin_megatron.layout import Heads
from swift_plugin_megatron.placement import Partition, place_weights
from swift_testing.codes import coded
from transformers import AutoConfig, AutoModelForCausalLM

from swift_core.contract.errors import UsageError

SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4,
    "vocab_size": 51,
}  # fmt: skip
HEADS = Heads(8, 4, 4)


MIXTURE = {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 24}


def model_of(kind, **more):
    torch.manual_seed(0)
    more = {**more, **(MIXTURE if kind.endswith("moe") else {})}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES, **more))
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too
            parameter.normal_()
    return model


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_conversion_is_reversible(kind, ranks):
    weights = dict(model_of(kind).named_parameters())
    back = {}
    for placement in place_weights(maps.architectures()[kind], weights, Partition(4, 2)):
        own = HEADS._replace(query=HEADS.query // ranks, key=HEADS.key // ranks)
        cuts = [[layout.shard(weights[name], placement.kind, rank, ranks) for name in placement.hf_names] for rank in range(ranks)]
        parts = [layout.unfuse(layout.fuse(cut, placement.kind, own), placement.kind, own, len(placement.hf_names)) for cut in cuts]
        for name, held in zip(placement.hf_names, zip(*parts, strict=True), strict=True):
            back[name] = layout.unshard(held, placement.kind, weights[name].shape[0])
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
@pytest.mark.parametrize("shares", [1, 2, 4])
def test_experts_are_distributed(kind, shares):
    weights = dict(model_of(kind).named_parameters())
    placements = place_weights(maps.architectures()[kind], weights, Partition(4, 2, experts=4, expert_ranks=shares))
    name = "model.layers.3.mlp.experts.down_proj"
    found = [
        (placement.expert, placement.expert_rank, placement.mcore_name.split("local_experts.")[1])
        for placement in placements
        if placement.hf_names == (name,)
    ]
    assert found == [(expert, expert * shares // 4, f"{expert % (4 // shares)}.linear_fc2.weight") for expert in range(4)]
    assert {name for placement in placements for name in placement.hf_names} == weights.keys()
    others = [
        placement.expert_rank for placement in placements if "experts." not in placement.mcore_name or "shared" in placement.mcore_name
    ]
    assert others
    assert set(others) == {None}


def test_query_key_and_value_are_interleaved_by_group():
    query, key, value = (torch.arange(rows).float() + start for rows, start in ((32, 0), (16, 100), (16, 200)))
    joined = layout.fuse([query, key, value], "qkv", HEADS)
    assert joined[:16].tolist() == [*range(8), *range(100, 104), *range(200, 204)], "two query heads, their key, their value"
    second = [layout.shard(part, "qkv", 1, 2) for part in (query, key, value)]
    assert torch.equal(layout.fuse(second, "qkv", Heads(4, 2, 4)), joined[32:]), "a process has whole groups"


def test_gate_and_up_are_concatenated_in_each_process():
    gate, up = torch.arange(4.0), torch.arange(4.0) + 10
    joined = layout.fuse([layout.shard(part, "gated", 1, 2) for part in (gate, up)], "gated", HEADS)
    assert joined.tolist() == [2, 3, 12, 13]


def test_a_vocabulary_is_padded_with_zeros():
    weight = torch.ones(51, 2)
    assert layout.shard(weight, "vocabulary", 1, 2)[-1].tolist() == [0, 0]
    assert layout.shard(weight, "vocabulary", 0, 2).shape == (26, 2)


def test_stages_have_consecutive_layers():
    placements = place_weights(maps.architectures()["llama"], dict(model_of("llama").named_parameters()), Partition(4, 2))
    places = {placement.hf_names[0]: (placement.stage, placement.mcore_name) for placement in placements}
    assert places["model.layers.3.mlp.down_proj.weight"] == (1, "decoder.layers.1.mlp.linear_fc2.weight")
    assert [places[name][0] for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")] == [0, 1, 1]


def test_a_tied_head_is_a_copy_on_the_last_stage():
    names = dict(model_of("llama", tie_word_embeddings=True).named_parameters())
    assert not any(placement.tied for placement in place_weights(maps.architectures()["llama"], names, Partition(4, 1)))
    (tied,) = [placement for placement in place_weights(maps.architectures()["llama"], names, Partition(4, 4)) if placement.tied]
    assert (tied.hf_names, tied.mcore_name, tied.stage) == (("model.embed_tokens.weight",), "output_layer.weight", 3)


def test_unmapped_weights_are_refused():
    names = [*dict(model_of("llama").named_parameters()), "model.layers.0.extra.weight"]
    with pytest.raises(
        UsageError, check=coded("PARALLEL-026"), match=r"1 weights that its map does not name, such as model\.layers\.0\.extra\.weight"
    ):
        place_weights(maps.architectures()["llama"], names, Partition(4, 1))
    without = [name for name in names[:-1] if "k_proj" not in name]
    with pytest.raises(
        UsageError, check=coded("PARALLEL-026"), match=r"q_proj\.weight without model\.layers\.0\.self_attn\.k_proj\.weight"
    ):
        place_weights(maps.architectures()["llama"], without, Partition(4, 1))


OLMO = maps.Architecture(("olmo",), maps.DECODER)


def test_other_distributions_add_architectures(monkeypatch):
    point = EntryPoint("olmo", f"{__name__}:OLMO", "swift.megatron_maps")
    monkeypatch.setattr(EntryPoint, "load", lambda self: OLMO)
    monkeypatch.setattr(maps, "entry_points", lambda group: [point] if group == "swift.megatron_maps" else [])
    maps.architectures.cache_clear()
    try:
        assert maps.architectures()["olmo"] is OLMO
        assert "llama" in maps.architectures()
    finally:
        maps.architectures.cache_clear()
