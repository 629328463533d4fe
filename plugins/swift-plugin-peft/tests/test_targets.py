"""Which modules target names match, which of them can be trained, and how they are written to adapter_config.json."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import check_target_module_exists
from swift_plugin_peft.gradient_probe import modules_without_gradient
from swift_plugin_peft.options import LoraOptions
from swift_plugin_peft.targets import match_targets, to_target_modules
from swift_plugin_peft.tuner import PeftTuner
from swift_testing.architectures import small_model
from swift_testing.codes import coded
from torch import nn

from swift_core.checkpoints.family import UNKNOWN
from swift_core.contract.errors import UsageError
from swift_core.contract.specs import ModelFamily

SIZE = 8
EXPERTS = 16


class Block(nn.Module):
    """Layers that are called, read, called for nothing, and not at all; experts of which each token goes to one."""

    def __init__(self, *, shares_keys: bool) -> None:
        super().__init__()
        self.q, self.k, self.read, self.ignored, self.unused = (nn.Linear(SIZE, SIZE, bias=False) for _ in range(5))
        self.experts = nn.ModuleList(nn.Linear(SIZE, SIZE, bias=False) for _ in range(EXPERTS))
        self.mlp = nn.Sequential(nn.Linear(SIZE, SIZE), nn.Tanh(), nn.Linear(SIZE, SIZE))
        self.shares_keys = shares_keys

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden + self.q(hidden) + self.mlp(hidden) + hidden @ self.read.weight
        if not self.shares_keys:
            hidden = hidden + self.k(hidden)
        self.ignored(hidden)
        chosen = (hidden.detach().sum(-1) * 1e4).long() % 3  # of 16
        for number in chosen.unique().tolist():
            mask = chosen == number
            hidden = hidden.masked_scatter(mask[..., None], hidden[mask] + self.experts[number](hidden[mask]))
        return hidden


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, SIZE)
        self.layers = nn.ModuleList([Block(shares_keys=False), Block(shares_keys=True)])
        self.head = nn.Linear(SIZE, 50, bias=False)
        self.device = torch.device("cpu")
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=50))

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Any:
        hidden = self.embed(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return SimpleNamespace(logits=self.head(hidden))


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    return Toy()


def paths(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, nn.Linear) and path != "head"]


def test_what_is_read_ignored_or_not_called_is_not_reached(toy):
    expected = {f"layers.{layer}.{name}" for layer in (0, 1) for name in ("read", "ignored", "unused")} | {"layers.1.k"}
    state = torch.random.get_rng_state()
    toy.eval()
    assert modules_without_gradient(toy, paths(toy)) == expected  # and no expert, whichever this row was sent to
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not toy.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in toy.parameters())
    assert not any(module._forward_hooks for module in toy.modules())


def test_a_model_that_text_alone_does_not_compute_is_not_probed(toy, caplog, monkeypatch):
    monkeypatch.setattr(Toy, "forward", lambda *_, **__: 1 / 0)
    assert modules_without_gradient(toy, paths(toy)) == set()
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["layers.0.q", "layers.1.q"], ["q"]),
        (["layers.0.mlp.0", "layers.1.mlp.0"], ["mlp.0"]),
        (["layers.0.k"], ["layers.0.k"]),
        (["layers.0.q", "layers.1.q", "layers.0.mlp.2", "layers.1.experts.2"], ["layers.0.mlp.2", "layers.1.experts.2", "q"]),
    ],
)
def test_names_are_as_short_as_they_are_clear(chosen, expected, toy):
    found = to_target_modules(chosen, toy)
    assert found == expected
    config = SimpleNamespace(target_modules=found, exclude_modules=None, layers_to_transform=None, layers_pattern=None)
    assert {path for path, _ in toy.named_modules() if path and check_target_module_exists(config, path)} == set(chosen)


def test_below_a_language_model_one_expression_says_it():
    def part() -> nn.Module:
        return nn.ModuleDict({"q": nn.Linear(2, 2), "o": nn.Linear(2, 2)})

    model = nn.ModuleDict({"text": part(), "vision": part()})
    assert to_target_modules(["text.q", "text.o"], model, "text") == r"text\.(.*\.)?(o|q)"
    assert to_target_modules(["text.q"], nn.ModuleDict({"text": part()}), "text") == ["q"]


def test_the_users_names_mean_what_they_mean_to_peft(toy):
    family = ModelFamily(name="toy", summary="Toy", architectures=())
    for expected in (["q", "mlp.0"], ["layers.1.k"], r"layers\.0\..*", ["experts.3"]):
        config = SimpleNamespace(target_modules=expected, exclude_modules=None, layers_to_transform=None, layers_pattern=None)
        theirs = {path for path, _ in toy.named_modules() if path and check_target_module_exists(config, path)}
        assert {path for group in match_targets(expected, toy, family) for path in group.paths} == theirs
    for expected in ("all-linear", "all", ["all-linear"], "auto"):
        assert {path for group in match_targets(expected, toy, family) for path in group.paths} == set(paths(toy))
    with pytest.raises(UsageError, check=coded("TUNER-005"), match=r"'layers\.7\.q' .*\. Did you mean 'layers\.[01]\.q'"):
        match_targets(["layers.7.q"], toy, family)


def test_a_name_that_stands_for_nothing_that_learns_is_refused_and_others_lose_what_does_not(tmp_path):
    tuner = PeftTuner(LoraOptions(targets=["q_proj", "k_proj"]))
    model = tuner.attach(small_model("bart"), UNKNOWN)  # its attention to an encoder is not computed
    assert {name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name} == {
        f"base_model.model.model.decoder.layers.{layer}.self_attn.{name}" for layer in (0, 1) for name in ("q_proj", "k_proj")
    }
    assert sorted(tuner.remarks) == [
        f"no adapter on model.decoder.layers.N.encoder_attn.{name} (2): it receives no gradient from text" for name in ("k_proj", "q_proj")
    ]
    tuner.save(model, tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert sorted(written) == ["self_attn.k_proj", "self_attn.q_proj"]
    with pytest.raises(
        UsageError, check=coded("TUNER-002"), match=r"'model\.decoder\.layers\.1\.encoder_attn\.k_proj' can't be adapted: .* no gradient"
    ):
        PeftTuner(LoraOptions(targets=["q_proj", "model.decoder.layers.1.encoder_attn.k_proj"])).attach(small_model("bart"), UNKNOWN)
