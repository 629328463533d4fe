"""Each optimizer computes its library's own steps, resumes bit for bit, and trains alike on several processes, or is refused by name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import bitsandbytes
import pytest
import pytorch_optimizer
import torch
from swift_train.parameter_groups import mark_embeddings
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows
from torch import nn
from transformers.optimization import Adafactor

from swift_core.api import resolved
from swift_core.contract import OptimizerSpec, UsageError
from swift_core.plugins import registry

RATE, DECAY = 1e-2, 0.1


class Net(nn.Module):
    """An embedding, a matrix, a norm and an output layer, large enough for a state of 8 bits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.hidden = nn.Embedding(64, 64), nn.Linear(64, 96, bias=False)
        self.norm, self.out = nn.LayerNorm(96), nn.Linear(96, 64)

    def forward(self, ids):
        return self.out(self.norm(self.hidden(self.embed(ids))))

    def get_output_embeddings(self):
        return self.out


def torch_muon(hidden, decayed, plain):
    muon = torch.optim.Muon([{"params": hidden, "weight_decay": DECAY}], lr=RATE, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    others = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    return muon, torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.95))


def both(make, *, decay=0.0):
    """The library's optimizer over all matrices, which decay, and all other weights."""

    def made(hidden, decayed, plain):
        return (make([{"params": [*hidden, *decayed], "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]),)

    return made


def projected(kind, **more):
    def made(hidden, decayed, plain):
        groups = [{"params": hidden, "weight_decay": DECAY, "scale": 1.0, "projection_type": "std", **more}]
        groups += [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
        return (
            kind(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8, **({"scale_type": "channel"} if kind is pytorch_optimizer.APOLLO else {})),
        )

    return made


LIBRARY = {
    "adamw": both(lambda groups: torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95)), decay=DECAY),
    "muon": torch_muon,
    "adafactor": both(lambda groups: Adafactor(groups, lr=RATE, relative_step=False, scale_parameter=False)),
    "sgd": both(lambda groups: torch.optim.SGD(groups, lr=RATE)),
    "rmsprop": both(lambda groups: torch.optim.RMSprop(groups, lr=RATE)),
    "adagrad": both(lambda groups: torch.optim.Adagrad(groups, lr=RATE)),
    "adamw-8bit": both(lambda groups: bitsandbytes.optim.AdamW8bit(groups, lr=RATE, betas=(0.9, 0.95)), decay=DECAY),
    "lion": both(lambda groups: bitsandbytes.optim.Lion(groups, lr=RATE), decay=DECAY),
    "lion-8bit": both(lambda groups: bitsandbytes.optim.Lion8bit(groups, lr=RATE), decay=DECAY),
    "ademamix": both(lambda groups: bitsandbytes.optim.AdEMAMix(groups, lr=RATE), decay=DECAY),
    "ademamix-8bit": both(lambda groups: bitsandbytes.optim.AdEMAMix8bit(groups, lr=RATE), decay=DECAY),
    "galore": projected(pytorch_optimizer.GaLore, rank=128, update_proj_gap=50),
    "apollo": projected(pytorch_optimizer.APOLLO, rank=256, update_proj_gap=200),
    "stable-adamw": both(lambda groups: pytorch_optimizer.StableAdamW(groups, lr=RATE, betas=(0.9, 0.95)), decay=DECAY),
    "schedule-free-adamw": both(lambda groups: pytorch_optimizer.ScheduleFreeAdamW(groups, lr=RATE, betas=(0.9, 0.95)), decay=DECAY),
    "came": both(lambda groups: pytorch_optimizer.CAME(groups, lr=RATE, betas=(0.9, 0.999, 0.9999)), decay=DECAY),
    "adopt": both(lambda groups: pytorch_optimizer.ADOPT(groups, lr=RATE, betas=(0.9, 0.95), weight_decouple=True, eps=1e-8), decay=DECAY),
}


def steps(net, optimizers):
    ids = torch.arange(64)
    for number in range(4):
        torch.manual_seed(number)  # APOLLO draws its projections
        nn.functional.cross_entropy(net(ids), ids.roll(1)).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return net.state_dict()


@pytest.mark.parametrize("name", LIBRARY)
def test_its_steps_are_the_librarys(name):
    ours, theirs = Net(), Net()
    groups = mark_embeddings(ours, [{"params": list(ours.parameters())}])
    if name.endswith("8bit"):  # embeddings keep 32 bits here: compared without them
        groups = [{**group, "embedding": False} for group in groups]
    made = registry().choose("optimizer", name).build().build(groups, RATE)
    decayed, plain = [theirs.embed.weight, theirs.out.weight], [theirs.norm.weight, theirs.norm.bias, theirs.out.bias]
    expected = steps(theirs, LIBRARY[name]([theirs.hidden.weight], decayed, plain))
    for key, value in steps(ours, [made]).items():
        assert torch.equal(value, expected[key]), key


def test_embeddings_keep_a_32_bit_state():
    net = Net()
    optimizer = registry().choose("optimizer", "adamw-8bit").build().build(mark_embeddings(net, [{"params": list(net.parameters())}]), RATE)
    steps(net, [optimizer])
    kinds = {name: optimizer.state[weight]["state1"].dtype for name, weight in net.named_parameters() if weight.ndim == 2}
    assert kinds == {"embed.weight": torch.float32, "hidden.weight": torch.uint8, "out.weight": torch.float32}


def test_embeddings_have_their_own_rate():
    net = Net()
    groups = mark_embeddings(net, [{"params": list(net.parameters())}], 0.25)
    optimizer = registry().choose("optimizer", "adamw").build().build(groups, RATE)
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    assert {name: rates[id(weight)] / RATE for name, weight in net.named_parameters()} == {
        "embed.weight": 0.25, "hidden.weight": 1.0, "norm.weight": 1.0, "norm.bias": 1.0, "out.weight": 0.25, "out.bias": 0.25,
    }  # fmt: skip
    with pytest.raises(UsageError, match="no embedding is trained"):
        mark_embeddings(net, [{"params": [net.hidden.weight]}], 0.25)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"optimizer": "paged_adamw_8bit"}, "optimizer"),
        ({"optimizer": "galore_adamw", "parallel": "fsdp", "processes": 2}, "optimizer"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_loaded(tiny_model, tmp_path, options, where):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    with pytest.raises(UsageError) as refused:
        resolved("sft", {"model": str(tiny_model), "dataset": str(rows), "tuner": "full", "device": "cpu", **options})
    assert refused.value.where == where


@pytest.mark.parametrize(
    "name",
    ["adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion_32bit", "lion_8bit",
     "paged_lion_32bit", "paged_lion_8bit", "ademamix", "ademamix_8bit", "adafactor", "sgd", "adagrad", "rmsprop", "galore_adamw",
     "apollo_adamw", "schedule_free_adamw", "stable_adamw", "adamw_torch_4bit", "adamw_torch_8bit", "muon", "came_pytorch"],
)  # fmt: skip
def test_names_of_transformers_are_known(name):
    assert registry().matching("optimizer", name)


SHARDED = [spec.name for spec in registry().all(OptimizerSpec) if spec.shards]
TOLERANCE = {
    "muon": 2e-3,  # it orthogonalizes in bfloat16, whose sums depend on the shards
    "galore": 2e-4,  # singular vectors of near singular values turn with the gradients' rounding
}


def _losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


@pytest.mark.full("parallel")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", list(LIBRARY))
def test_two_processes_train_as_one_and_resume_exactly(tiny_model, tmp_path, name, strategy):
    if strategy == "fsdp" and name not in SHARDED:
        pytest.skip("it is refused")
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(10))

    def run(ranks, parallel, **more):
        made = training_run(tiny_model, rows, tuner="full", batch_size=1, gradient_accumulation_steps=4 // ranks, epochs=2,
                            learning_rate=1e-3, max_grad_norm=0.5, **more)  # fmt: skip
        chosen = {"optimizer": registry().choose("optimizer", name), "parallel": registry().choose("parallel", parallel)}
        return replace(made, parts={**made.parts, **chosen})

    one = _losses(run_training(run(1, "ddp"), tmp_path / "one"))
    two = _losses(on_ranks(2, partial(run_training, run(2, strategy), tmp_path / "two"))[0])
    assert two == pytest.approx(one, abs=TOLERANCE.get(name, 2e-5))
    first = on_ranks(2, partial(run_training, run(2, strategy), tmp_path / "parts", stop_after=2))[0]
    resumed = run(2, strategy, verb_options={"resume": str(tmp_path / "parts")})
    assert _losses(first) + _losses(on_ranks(2, partial(run_training, resumed, tmp_path / "parts"))[0]) == two
