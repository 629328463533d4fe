"""Weights from transformers' names to megatron-core's parts and back, bit for bit, without megatron-core."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch
from swift_plugin_megatron import layout, maps
from swift_plugin_megatron.layout import Heads
from swift_plugin_megatron.placement import Partition, place_weights
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
def test_there_and_back(kind, ranks):
    weights = dict(model_of(kind).named_parameters())
    back = {}
    for slot in place_weights(maps.architectures()[kind], weights, Partition(4, 2)):
        own = HEADS._replace(query=HEADS.query // ranks, key=HEADS.key // ranks)
        cuts = [[layout.cut(weights[name], slot.kind, rank, ranks) for name in slot.theirs] for rank in range(ranks)]
        parts = [layout.split(layout.join(cut, slot.kind, own), slot.kind, own, len(slot.theirs)) for cut in cuts]
        for name, held in zip(slot.theirs, zip(*parts, strict=True), strict=True):
            back[name] = layout.whole(held, slot.kind, weights[name].shape[0])
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
@pytest.mark.parametrize("shares", [1, 2, 4])
def test_experts_are_dealt_out(kind, shares):
    weights = dict(model_of(kind).named_parameters())
    slots = place_weights(maps.architectures()[kind], weights, Partition(4, 2, experts=4, shares=shares))
    name = "model.layers.3.mlp.experts.down_proj"
    found = [(slot.expert, slot.share, slot.ours.split("local_experts.")[1]) for slot in slots if slot.theirs == (name,)]
    assert found == [(expert, expert * shares // 4, f"{expert % (4 // shares)}.linear_fc2.weight") for expert in range(4)]
    assert {name for slot in slots for name in slot.theirs} == weights.keys()
    others = [slot.share for slot in slots if "experts." not in slot.ours or "shared" in slot.ours]
    assert others
    assert set(others) == {None}


def test_query_key_and_value_are_interleaved_by_group():
    query, key, value = (torch.arange(rows).float() + start for rows, start in ((32, 0), (16, 100), (16, 200)))
    joined = layout.join([query, key, value], "qkv", HEADS)
    assert joined[:16].tolist() == [*range(8), *range(100, 104), *range(200, 204)], "two query heads, their key, their value"
    second = [layout.cut(part, "qkv", 1, 2) for part in (query, key, value)]
    assert torch.equal(layout.join(second, "qkv", Heads(4, 2, 4)), joined[32:]), "a process has whole groups"


def test_gate_and_up_lie_one_after_the_other_in_each_process():
    gate, up = torch.arange(4.0), torch.arange(4.0) + 10
    joined = layout.join([layout.cut(part, "gated", 1, 2) for part in (gate, up)], "gated", HEADS)
    assert joined.tolist() == [2, 3, 12, 13]


def test_a_vocabulary_is_filled_up_with_zeros():
    weight = torch.ones(51, 2)
    assert layout.cut(weight, "vocabulary", 1, 2)[-1].tolist() == [0, 0]
    assert layout.cut(weight, "vocabulary", 0, 2).shape == (26, 2)


def test_stages_hold_layers_one_after_the_other():
    slots = place_weights(maps.architectures()["llama"], dict(model_of("llama").named_parameters()), Partition(4, 2))
    places = {slot.theirs[0]: (slot.stage, slot.ours) for slot in slots}
    assert places["model.layers.3.mlp.down_proj.weight"] == (1, "decoder.layers.1.mlp.linear_fc2.weight")
    assert [places[name][0] for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")] == [0, 1, 1]


def test_a_tied_head_is_a_copy_on_the_last_stage():
    names = dict(model_of("llama", tie_word_embeddings=True).named_parameters())
    assert not any(slot.tied for slot in place_weights(maps.architectures()["llama"], names, Partition(4, 1)))
    (tied,) = [slot for slot in place_weights(maps.architectures()["llama"], names, Partition(4, 4)) if slot.tied]
    assert (tied.theirs, tied.ours, tied.stage) == (("model.embed_tokens.weight",), "output_layer.weight", 3)


def test_what_no_entry_names_is_refused():
    names = [*dict(model_of("llama").named_parameters()), "model.layers.0.extra.weight"]
    with pytest.raises(UsageError, match=r"1 weights that its map does not name, such as model\.layers\.0\.extra\.weight"):
        place_weights(maps.architectures()["llama"], names, Partition(4, 1))
    without = [name for name in names[:-1] if "k_proj" not in name]
    with pytest.raises(UsageError, match=r"q_proj\.weight without model\.layers\.0\.self_attn\.k_proj\.weight"):
        place_weights(maps.architectures()["llama"], without, Partition(4, 1))


THEIRS = maps.Architecture(("olmo",), maps.DECODER)


def test_others_bring_architectures(monkeypatch):
    point = EntryPoint("olmo", f"{__name__}:THEIRS", "swift.megatron_maps")
    monkeypatch.setattr(EntryPoint, "load", lambda self: THEIRS)
    monkeypatch.setattr(maps, "entry_points", lambda group: [point] if group == "swift.megatron_maps" else [])
    maps.architectures.cache_clear()
    try:
        assert maps.architectures()["olmo"] is THEIRS
        assert "llama" in maps.architectures()
    finally:
        maps.architectures.cache_clear()
