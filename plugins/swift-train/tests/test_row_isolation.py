"""Rows that go through a model in one pass are what they are alone, or they go alone: asked of real architectures, by the road of a run."""

from __future__ import annotations

import json
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from swift_testing.architectures import NOT_SMALL, NOT_TRAINED, causal_types, small_model, write_small_model
from swift_train import row_attention
from swift_train.batches import RowBoundaries, collate
from swift_train.options import PretrainOptions
from swift_train.ranks import rng_states
from swift_train.row_comparison import Isolation
from swift_train.row_groups import split_rows
from swift_train.row_isolation import check_isolation, probe_isolation, with_row_attention
from swift_train.tasks import PretrainTask
from swift_train.testing import on_ranks, run_training, samples_of, training_run, write_rows

from swift_core.contract.errors import UsageError
from swift_core.plugins.registered import registry

TOKENS = range(3, 250)
ALONE = (
    "opt", "bloom", "falcon", "mamba", "mamba2", "gpt_oss", "lfm2", "qwen3_5", "qwen3_next", "recurrent_gemma", "jamba", "bamba", "afmoe",
    "bert",
)  # fmt: skip
TOGETHER = ("llama", "gpt2", "mixtral", "gemma3_text", "deepseek_v3", "qwen2_vl", "qwen2_5_vl")
PAGE = Path(__file__).parents[3] / "docs/reference/rows.md"


def strategy_of(model, parallel="ddp"):
    strategy = registry().choose("parallel", parallel, {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    return strategy


def isolation_of(model, tokens=TOKENS, longest=64) -> Isolation:
    return probe_isolation(strategy_of(model), PretrainTask(PretrainOptions()), tokens, longest)


def of_step(strategy, samples, max_rows, reported, *, train):
    """Loss and gradients of all rows in one step."""
    pieces = split_rows(range(len(samples)), samples.lengths, rank=0, ranks=1, max_rows=max_rows, max_tokens=inf)
    task, micros = PretrainTask(PretrainOptions()), [collate(samples, piece, reported) for piece in pieces]
    loss = strategy.accumulate(micros, task, 1 / int(samples.supervised.sum()), train=train)
    gradients = [parameter.grad.clone() for parameter in strategy.trainable if parameter.grad is not None]
    strategy.optimizer.zero_grad(set_to_none=True)
    return loss, gradients


def check(model, tmp_path) -> Isolation:
    """See that a step of three rows, as they go, has the loss and the gradients that it has row by row."""
    strategy, own = strategy_of(model), model.config._attn_implementation
    random = np.random.default_rng(0)
    samples = samples_of(tmp_path, [(random.choice(TOKENS, length).tolist(), [(1, length, 1.0)]) for length in (23, 14, 9)])
    isolation = probe_isolation(strategy, PretrainTask(PretrainOptions()), TOKENS, 64)
    before = rng_states(torch.device("cpu"))["cpu"]
    loss, gradients = of_step(strategy, samples, 1, RowBoundaries.POSITION_IDS, train=True)
    train = before.equal(rng_states(torch.device("cpu"))["cpu"])  # else its training is random: no two steps are the same
    if not train:
        loss, gradients = of_step(strategy, samples, 1, RowBoundaries.POSITION_IDS, train=False)
    by_rows = with_row_attention(strategy, PretrainTask(PretrainOptions()), TOKENS, 64, isolation)
    for found in (isolation, by_rows):  # the second last: it is what a run takes
        model.set_attn_implementation(found.attention or own)
        together, theirs = of_step(strategy, samples, 3 if found.together else 1, found.boundaries, train=train)
        assert together == pytest.approx(loss, rel=2e-6)
        assert len(gradients) == len(theirs)
        far = sum(float((one - other).square().sum()) for one, other in zip(gradients, theirs, strict=True)) ** 0.5
        assert far <= 1e-4 * sum(float(one.square().sum()) for one in gradients) ** 0.5
    return isolation


@pytest.mark.parametrize("model_type", [*ALONE, *TOGETHER])
def test_a_step_is_what_its_rows_are_alone(model_type, tmp_path):
    isolation = check(small_model(model_type), tmp_path)
    assert isolation.together == (model_type in TOGETHER)
    assert isolation.boundaries is (RowBoundaries.MROPE if model_type in ("qwen2_vl", "qwen2_5_vl") else RowBoundaries.POSITION_IDS)


@pytest.mark.parametrize("model_type", ["gpt_oss", "mamba", "opt"])
def test_together_they_would_be_other_rows(model_type, tmp_path):
    """What is avoided: another loss, and another gradient."""
    samples = samples_of(tmp_path, [(list(TOKENS)[at * 20 : at * 20 + 15], [(1, 15, 1.0)]) for at in range(2)])
    strategy = strategy_of(small_model(model_type))
    (alone, ours), (together, theirs) = (of_step(strategy, samples, rows, RowBoundaries.POSITION_IDS, train=True) for rows in (1, 2))
    assert abs(alone - together) > 1e-3
    far = sum(float((one - other).square().sum()) for one, other in zip(ours, theirs, strict=True)) ** 0.5
    assert far > 0.05 * sum(float(one.square().sum()) for one in ours) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_however_attention_is_computed(attention, dtype):
    found = {kind: isolation_of(small_model(kind, attention=attention).to(dtype)).together for kind in ("llama", "qwen3_moe", "falcon")}
    assert found == {"llama": True, "qwen3_moe": True, "falcon": False}


@pytest.mark.parametrize(
    ("model_type", "values", "taken"),
    [
        ("llama", {}, True),
        ("mistral", {"sliding_window": 5}, True),
        ("qwen3", {"sliding_window": 5, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]}, True),
        ("gpt2", {}, True),
        ("gemma2", {"sliding_window": 5, "attn_logit_softcapping": 2.0}, True),
        ("gpt_oss", {"sliding_window": 5}, True),
        ("stablelm", {"sliding_window": 5}, False),
    ],
)
def test_attention_of_single_rows_is_taken_if_the_losses_stay(model_type, values, taken):
    """With a window that the longest row exceeds; one model builds its window into the mask alone."""
    model = small_model(model_type, **values)
    strategy, task = strategy_of(model), PretrainTask(PretrainOptions())
    own = model.config._attn_implementation
    before = probe_isolation(strategy, task, TOKENS, 64)
    assert before.together == (model_type != "gpt_oss"), "its own attention sees all rows"
    isolation = with_row_attention(strategy, task, TOKENS, 64, before)
    assert isolation.together
    assert (isolation.attention == row_attention.IMPLEMENTATION) == taken
    assert model.config._attn_implementation == (row_attention.IMPLEMENTATION if taken else own)
    assert isolation.boundaries is (RowBoundaries.CU_SEQLENS if taken else RowBoundaries.POSITION_IDS)


def test_attention_that_attends_otherwise_is_not_taken(monkeypatch):
    """Rows that see the rows before them, and a window that is left out."""
    for broken in ({"cu_seq_lens_q": None}, {"sliding_window": None}):
        attend = row_attention.attend
        monkeypatch.setattr(row_attention, "attend", lambda *parts, broken=broken, attend=attend, **more: attend(*parts, **(more | broken)))
        model = small_model("mistral", sliding_window=5)
        strategy, task = strategy_of(model), PretrainTask(PretrainOptions())
        isolation = with_row_attention(strategy, task, TOKENS, 64, probe_isolation(strategy, task, TOKENS, 64))
        assert isolation.together
        assert not isolation.attention
        monkeypatch.undo()


def test_rotary_embeddings_that_depend_on_the_longest_row():
    """A short row beside a long one would be turned as the long one is."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 48}
    rope |= {"short_factor": [1.0] * 8, "long_factor": [1.0 + at for at in range(8)]}
    assert isolation_of(small_model("phi3", rope_parameters=rope, original_max_position_embeddings=48), longest=40).together
    assert not isolation_of(small_model("phi3", rope_parameters=rope, original_max_position_embeddings=48), longest=60).together


def test_nothing_is_changed(tmp_path):
    """Neither random numbers nor gradients, modes or statistics, in a model that draws random numbers and one that counts."""
    for model in (small_model("gpt2", attn_pdrop=0.5), small_model("deepseek_v3"), small_model("phimoe")):
        strategy = strategy_of(model)
        before = torch.get_rng_state(), {name: buffer.clone() for name, buffer in model.named_buffers()}
        weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        probe_isolation(strategy, PretrainTask(PretrainOptions()), TOKENS, 64)
        assert torch.get_rng_state().equal(before[0])
        assert all(buffer.equal(before[1][name]) for name, buffer in model.named_buffers())
        assert all(parameter.equal(weights[name]) and parameter.grad is None for name, parameter in model.named_parameters())


def test_a_model_with_dropout_is_asked_all_the_same():
    model = small_model("gpt2")
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.3
    assert isolation_of(model).together


def test_rows_that_can_not_be_separated_run_alone():
    broken = small_model("llama")
    broken.model.norm.weight.data.fill_(torch.nan)
    assert "not finite" in isolation_of(broken).reason
    assert "different tokens" in isolation_of(small_model("llama"), tokens=[3, 4, 5]).reason
    deaf = small_model("llama")
    for layer in deaf.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    assert "could not be determined" in isolation_of(deaf).reason


def test_what_would_compute_something_else_is_refused():
    strategy = strategy_of(small_model("bert"))
    isolation = probe_isolation(strategy, PretrainTask(PretrainOptions()), TOKENS, 64)
    assert not isolation.causal
    with pytest.raises(UsageError) as error:
        check_isolation(isolation, PretrainOptions(packing=True), strategy)
    assert error.value.where == "packing"
    check_isolation(isolation, PretrainOptions(), strategy)
    strategy.fixed_shapes = True
    with pytest.raises(UsageError) as error:
        check_isolation(isolation, PretrainOptions(), strategy)
    assert error.value.where == "parallel"


TEXTS = [{"text": " ".join(f"word{at * number % 7}" for at in range(4 + number))} for number in range(1, 9)]
RUN = {"task": "pretrain", "tuner": "full", "max_steps": 3, "learning_rate": 1e-3}


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def rows_of(folder):
    return json.loads((folder / "parallel.json").read_text())["rows"]


@pytest.mark.parametrize("model_type", ["bloom", "llama"])
def test_a_run_does_not_depend_on_its_micro_batches(model_type, tmp_path):
    """The whole training, held-out loss included, in micro-batches of four rows and of one; and which it was is recorded."""
    model, rows = write_small_model(tmp_path / "model", model_type), write_rows(tmp_path / "rows.jsonl", TEXTS)
    held = write_rows(tmp_path / "held.jsonl", TEXTS[:3])
    four = run_training(training_run(model, rows, validation=held, batch_size=4, **RUN), tmp_path / "four")
    one = run_training(training_run(model, rows, validation=held, batch_size=1, gradient_accumulation_steps=4, **RUN), tmp_path / "one")
    assert torch.tensor(steps(four)).allclose(torch.tensor(steps(one)), rtol=2e-5)
    scores = [[line["heldout_loss"] for line in metrics if "heldout_loss" in line] for metrics in (four, one)]
    assert scores[0] == pytest.approx(scores[1], rel=2e-6)
    assert rows_of(tmp_path / "four")["together"] == (model_type == "llama")
    if model_type == "llama":
        assert "position_ids" in rows_of(tmp_path / "four")["boundaries"]
        run_training(training_run(model, rows, batch_size=2, packing=True, max_length=64, **RUN), tmp_path / "packed")
        return
    with pytest.raises(UsageError) as error:
        run_training(training_run(model, rows, batch_size=2, packing=True, max_length=64, **RUN), tmp_path / "packed")
    assert error.value.where == "packing"


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_processes_agree(parallel, tmp_path):
    model, rows = write_small_model(tmp_path / "model", "bloom"), write_rows(tmp_path / "rows.jsonl", TEXTS)
    one = run_training(training_run(model, rows, batch_size=1, gradient_accumulation_steps=4, **RUN), tmp_path / "one")
    run = training_run(model, rows, batch_size=2, parallel=parallel, **RUN)
    both = on_ranks(2, partial(run_training, run, tmp_path / "two"))
    assert steps(both[0]) == steps(both[1])
    assert torch.tensor(steps(both[0])).allclose(torch.tensor(steps(one)), rtol=1e-4)
    assert not rows_of(tmp_path / "two")["together"]


@pytest.mark.full("architectures")
@pytest.mark.parametrize("model_type", causal_types())
def test_every_architecture(model_type, tmp_path):
    if reason := NOT_SMALL.get(model_type) or NOT_TRAINED.get(model_type):
        pytest.skip(reason)
    isolation = check(small_model(model_type), tmp_path)
    way = isolation.boundaries.value if isolation.together else "alone"
    assert f"| {model_type} | {way} |" in PAGE.read_text(encoding="utf-8"), "python docs/rows.py writes the page anew"
