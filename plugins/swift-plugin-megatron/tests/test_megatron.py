"""megatron-core itself on CPU processes: `make test-full LANE=megatron`. What one process learns is the measure of everything."""

from __future__ import annotations

import importlib.util
import json
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from swift_plugin_megatron.gradients import reduce_gradients
from swift_plugin_megatron.options import MegatronOptions
from swift_testing.rig import write_tiny_model
from swift_train.batches import Micro
from swift_train.crash_testing import steps_of, train_through_kills
from swift_train.tasks import NextToken
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows
from transformers import AutoConfig, AutoModelForCausalLM

from swift_core.contract.errors import SwiftError, UsageError

pytestmark = [pytest.mark.full("megatron"), pytest.mark.usefixtures("megatron")]

ROWS = 19  # an epoch of two steps of 8 rows, and one of 3
SEQUENCE = {"tensor": 2, "sequence": True}
MIXED = {
    "EP2": (2, {"expert": 2}), "EP2 DP2": (4, {"expert": 2}), "EP2 PP2": (4, {"expert": 2, "pipeline": 2}),
    "EP2 CP2": (2, {"expert": 2, "context": 2}), "EP2 CP2 DP2": (4, {"expert": 2, "context": 2}), "EP2 SP2": (2, {**SEQUENCE, "expert": 2}),
    "EP2 SP4": (4, {**SEQUENCE, "tensor": 4, "expert": 2}),
}  # fmt: skip
INTERLEAVED = {
    "PP2 × 2": (2, {"pipeline": 2, "chunks": 2}), "PP2 × 4": (2, {"pipeline": 2, "chunks": 4}),
    "PP4 × 2": (4, {"pipeline": 4, "chunks": 2}), "TP2 PP2 × 2": (4, {"tensor": 2, "pipeline": 2, "chunks": 2}),
    "PP2 × 2 DP2": (4, {"pipeline": 2, "chunks": 2}), "SP2 PP2 × 2": (4, {**SEQUENCE, "pipeline": 2, "chunks": 2}),
    "CP2 PP2 × 2": (4, {"context": 2, "pipeline": 2, "chunks": 2}),
}  # fmt: skip
LAYOUTS = {  # processes, and what is cut
    "TP1": (1, {}), "DP2": (2, {}), "DP4": (4, {}), "TP2": (2, {"tensor": 2}), "PP2": (2, {"pipeline": 2}),
    "TP2 DP2": (4, {"tensor": 2}), "TP2 PP2": (4, {"tensor": 2, "pipeline": 2}), "PP2 DP2": (4, {"pipeline": 2}),
}  # fmt: skip
TOKENS = {  # tokens are cut
    "SP2": (2, SEQUENCE), "SP2 DP2": (4, SEQUENCE), "SP2 PP2": (4, {**SEQUENCE, "pipeline": 2}), "CP2": (2, {"context": 2}),
    "CP4": (4, {"context": 4}), "CP2 DP2": (4, {"context": 2}), "TP2 CP2": (4, {"tensor": 2, "context": 2}),
    "SP2 CP2": (4, {**SEQUENCE, "context": 2}), "CP2 PP2": (4, {"context": 2, "pipeline": 2}),
}  # fmt: skip
ALL = {**LAYOUTS, **TOKENS, **MIXED, **INTERLEAVED}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(ROWS))


def settings(copies, **more):
    """Eight rows a step in several micro-steps, clipped, over two epochs; without dropout, which is a process's own."""
    if "lora" in more.get("tuner", ""):
        more = {"tuner_options": {"dropout": 0.0}, **more}
    return {
        "tuner": "full", "batch_size": 1, "gradient_accumulation_steps": 8 // copies, "epochs": 2, "max_grad_norm": 0.5,
        "learning_rate": 3e-3, **more,
    }  # fmt: skip


def run_of(model, rows, layout, *, resume="", dealt=False, **more):
    processes, sizes = ALL[layout]
    parts = processes // (sizes.get("tensor", 1) * sizes.get("context", 1) * sizes.get("pipeline", 1))
    verb_options = {"processes": processes, **({"resume": str(resume)} if resume else {}), **more.pop("verb_options", {})}
    return training_run(
        model,
        rows,
        parallel="megatron",
        parallel_options={**sizes, "distributed_optimizer": dealt, **more.pop("router", {})},
        verb_options=verb_options,
        **settings(parts, **more),
    )


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def train(run, processes, folder, **more):
    """The steps of a run; all processes see the same."""
    metrics = on_ranks(processes, partial(run_training, run, folder, **more))
    assert all(steps(rank) == steps(metrics[0]) for rank in metrics)
    return steps(metrics[0])


def close(ours, theirs, bound=1e-5):
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), atol=bound, rtol=bound)


def far_of(ours, theirs):
    """Largest differences of the loss, and of the gradient norm as a part of it."""
    pairs = list(zip(ours, theirs, strict=True))
    return f"{max(abs(a[0] - b[0]) for a, b in pairs):.1e}", f"{max(abs(a[1] - b[1]) / b[1] for a, b in pairs):.1e}"


def written(folder):
    (file,) = (folder / "output").glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("layout", [*LAYOUTS, *TOKENS])
def test_as_one_process(tiny_model, rows, tmp_path, layout, tuner):
    """Losses, norms, scores of held-out rows, and weights under transformers' names, which others can read."""
    more = {"tuner": tuner, "validation": write_rows(tmp_path / "held.jsonl", ragged_chats(5))}
    one = run_training(training_run(tiny_model, rows, **settings(1, **more)), tmp_path / "one")
    processes, sizes = ALL[layout]
    metrics = on_ranks(processes, partial(run_training, run_of(tiny_model, rows, layout, **more), tmp_path / "many"))[0]
    assert len(steps(one)) == 6
    close(steps(metrics), steps(one))
    scores = [[line["heldout_loss"] for line in each if "heldout_loss" in line] for each in (metrics, one)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    proof = json.loads((tmp_path / "many/parallel.json").read_text())
    assert proof["engine"] == "GPTModel"
    assert {name: proof[name] for name in sizes} == sizes
    parts = proof["tensor"] * proof["pipeline"]
    tied = 320 * 64 * 4 / proof["tensor"] if proof["pipeline"] > 1 else 0  # the last stage's copy of the embeddings
    assert proof["max_weight_bytes"] == pytest.approx(proof["model_bytes"] / parts + tied / 2, rel=0.1)  # norms and some of LoRA are whole
    print(f"{layout} {tuner}:", *far_of(steps(metrics), steps(one)))
    ours, theirs = (written(tmp_path / name) for name in ("many", "one"))
    assert ours.keys() == theirs.keys()
    for name, want in theirs.items():
        torch.testing.assert_close(ours[name], want, atol=1e-4, rtol=0, msg=name)
    if tuner == "full":
        AutoModelForCausalLM.from_pretrained(tmp_path / "many/output")


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        ("DP4", "float32"),
        ("PP2 DP2", "float32"),
        ("TP2 DP2", "float32"),
        ("DP4", "bfloat16"),
        ("SP2 CP2", "float32"),
        ("CP2 DP2", "bfloat16"),
    ],
)
def test_the_optimizer_dealt_out(tiny_model, rows, tmp_path, layout, dtype):
    """The very same training, with the state of each weight on one copy; resumed exactly."""
    processes, more = ALL[layout][0], {"save_steps": 2, "verb_options": {"dtype": dtype}}
    want = train(run_of(tiny_model, rows, layout, **more), processes, tmp_path / "whole")
    whole = train(run_of(tiny_model, rows, layout, dealt=True, **more), processes, tmp_path / "dealt")
    assert whole == want
    states = [
        sum(
            len(torch.load(file, weights_only=True)["state"]) for file in (tmp_path / name / "checkpoints/step-000006/state").glob("optim*")
        )
        for name in ("dealt", "whole")
    ]
    assert states[0] == states[1], "each is kept once"
    first = train(run_of(tiny_model, rows, layout, dealt=True, **more), processes, tmp_path / "parts", stop_after=2)
    more["verb_options"] = {"dtype": dtype, "resume": str(tmp_path / "parts")}
    assert first + train(run_of(tiny_model, rows, layout, dealt=True, **more), processes, tmp_path / "parts") == want


@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("layout", INTERLEAVED)
def test_interleaved_stages(rows, tmp_path, layout, tuner):
    """Numbers of micro-batches that the stages don't divide too; resumed exactly."""
    model = write_tiny_model(tmp_path / "model", num_hidden_layers=8)
    one = run_training(training_run(model, rows, **settings(1, tuner=tuner)), tmp_path / "one")
    processes = INTERLEAVED[layout][0]
    whole = train(run_of(model, rows, layout, tuner=tuner), processes, tmp_path / "many")
    print(f"{layout} {tuner}:", *far_of(whole, steps(one)))
    close(whole, steps(one))
    first = train(run_of(model, rows, layout, tuner=tuner), processes, tmp_path / "parts", stop_after=2)
    assert first + train(run_of(model, rows, layout, tuner=tuner, resume=tmp_path / "parts"), processes, tmp_path / "parts") == whole
    ours, theirs = (written(tmp_path / name) for name in ("many", "one"))
    for name, want in theirs.items():
        torch.testing.assert_close(ours[name], want, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("layout", ["TP2", "CP2", "CP2 PP2", "SP2 CP2"])
def test_losses_of_whole_rows(tiny_model, tmp_path, layout):
    """A loss of pairs of answers, from the logits that the processes of a context-parallel group gather."""
    prompts = [{"prompt": f"Number {number}?", "chosen": "yes " * (1 + number), "rejected": "no " * (8 - number)} for number in range(8)]
    rows, more = write_rows(tmp_path / "pairs.jsonl", prompts), {"task": "dpo", "epochs": 3}
    one = steps(run_training(training_run(tiny_model, rows, **settings(1, **more)), tmp_path / "one"))
    assert len({loss for loss, _ in one}) == 3
    close(train(run_of(tiny_model, rows, layout, **more), ALL[layout][0], tmp_path / "many"), one)


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")
@pytest.mark.parametrize(("layout", "tuner"), [("TP1", "full"), ("TP2", "full"), ("SP2", "full"), ("CP2 PP2", "full"), ("TP2", "lora")])
def test_products_in_float8(tiny_model, rows, tmp_path, layout, tuner):
    """Losses and norms near those without, and not equal; every linear layer of the blocks of a process computes in it."""
    plain = torch.tensor(steps(run_training(training_run(tiny_model, rows, **settings(1, tuner=tuner)), tmp_path / "one")))
    run = run_of(tiny_model, rows, layout, tuner=tuner, fp8=True)
    eight = torch.tensor(train(run, ALL[layout][0], tmp_path / "many"))
    torch.testing.assert_close(eight[:, 0], plain[:, 0], rtol=0.03, atol=0)
    torch.testing.assert_close(eight[:, 1], plain[:, 1], rtol=0.2, atol=0)
    assert not torch.allclose(eight, plain, rtol=1e-6, atol=0)
    blocks = 2 // ALL[layout][1].get("pipeline", 1)
    assert json.loads((tmp_path / "many/parallel.json").read_text())["float8_layers"] == 4 * blocks


@pytest.mark.parametrize("layout", ["TP2 DP2", "PP2", "SP2", "CP4", "SP2 CP2"])
def test_packed_texts(tiny_model, tmp_path, layout):
    """Several rows in one, which don't see each other."""
    texts = [{"text": " ".join(turn["content"] for turn in row["messages"])} for row in ragged_chats(3 * ROWS)]
    rows = write_rows(tmp_path / "texts.jsonl", texts)
    more = {"task": "pretrain", "packing": True, "max_length": 64}
    one = run_training(training_run(tiny_model, rows, **settings(1, **more)), tmp_path / "one")
    got = train(run_of(tiny_model, rows, layout, **more), ALL[layout][0], tmp_path / "many")
    print(f"{layout} packed:", *far_of(got, steps(one)))
    close(got, steps(one))


@pytest.mark.parametrize(("layout", "tuner"), [
    ("TP2 DP2", "full"), ("PP2", "full"), ("TP2 PP2", "loraplus"), ("DP2", "pissa"), ("SP2 PP2", "lora"), ("CP2 DP2", "lora"),
])  # fmt: skip
def test_resume_is_exact(tiny_model, rows, tmp_path, layout, tuner):
    """With dropout, where the tuner has some."""
    processes, more = ALL[layout][0], {"tuner": tuner, "tuner_options": {} if tuner == "full" else {"dropout": 0.2}}
    whole = train(run_of(tiny_model, rows, layout, **more), processes, tmp_path / "whole")
    first = train(run_of(tiny_model, rows, layout, **more), processes, tmp_path / "parts", stop_after=2)
    second = train(run_of(tiny_model, rows, layout, resume=tmp_path / "parts", **more), processes, tmp_path / "parts")
    assert len(first) == 2
    assert first + second == whole
    ours, theirs = (written(tmp_path / name) for name in ("parts", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("tuner", "options"),
    [("lora", {"dropout": 0.3}), ("lora", {"targets": ["q_proj", "v_proj", "down_proj", "up_proj"]}), ("rslora", {}), ("loraplus", {}),
     ("pissa", {})],
)  # fmt: skip
def test_adapters_are_pefts(tiny_model, rows, tmp_path, tuner, options):
    """Dropout draws the same on a cut layer; layers without an adapter; other starts and scales."""
    more = {"tuner": tuner, "tuner_options": {"dropout": 0.0, **options}}
    one = run_training(training_run(tiny_model, rows, **settings(1, **more)), tmp_path / "one")
    layouts = ["TP2"] if "dropout" in options else ["TP2", "SP2"]
    for layout in layouts:
        close(train(run_of(tiny_model, rows, layout, **more), 2, tmp_path / layout), steps(one))


def test_dropout_of_cut_tokens(tiny_model, rows, tmp_path):
    """Each process draws for all tokens, and takes what is for its own: so wherever they are cut, it is the same."""
    more = {"tuner": "lora", "tuner_options": {"dropout": 0.3}}
    between, among = (train(run_of(tiny_model, rows, layout, **more), 2, tmp_path / layout) for layout in ("SP2", "CP2"))
    close(between, among)


def test_adapters_that_are_refused(tiny_model, rows, tmp_path):
    for options in ({"modules_to_save": ["lm_head"]}, {"targets": ["embed_tokens", "q_proj"]}):
        run = run_of(tiny_model, rows, "DP2", tuner="lora", tuner_options=options)

        def build(run=run):
            with pytest.raises(UsageError) as caught:
                run_training(run, tmp_path / "run")
            return caught.value.where, caught.value.hint

        found = on_ranks(2, build)
        assert found == [("tuner", found[0][1])] * 2


def test_a_stage_in_which_nothing_learns(tiny_model, rows, tmp_path):
    def build():
        with pytest.raises(UsageError, match="pipeline stage 1 of 2 has no trainable weights"):
            run_training(run_of(tiny_model, rows, "PP2", tuner="freeze", tuner_options={"train": ["model.norm"]}), tmp_path / "run")
        with pytest.raises(UsageError, match="are one fused weight in megatron, but only some of them are trainable"):
            run_training(run_of(tiny_model, rows, "PP2", tuner="freeze", tuner_options={"train_regex": "q_proj"}), tmp_path / "run")
        return True

    assert on_ranks(2, build) == [True] * 2


@pytest.mark.parametrize("layout", ["TP2", "PP2", "SP2", "CP2", "SP2 CP2"])
def test_computed_twice(tiny_model, rows, tmp_path, layout):
    """--gradient-checkpointing keeps less and changes nothing, dropout neither."""
    more = {"tuner": "lora", "tuner_options": {"dropout": 0.2}}
    once = train(run_of(tiny_model, rows, layout, **more), ALL[layout][0], tmp_path / "once")
    assert train(run_of(tiny_model, rows, layout, gradient_checkpointing=True, **more), ALL[layout][0], tmp_path / "twice") == once


def test_other_sizes_are_refused_at_resume(tiny_model, rows, tmp_path):
    train(run_of(tiny_model, rows, "TP2"), 2, tmp_path / "parts", stop_after=2)
    allowed = {"resume": {"name": str(tmp_path / "parts"), "allow_change": True}}

    def again():
        with pytest.raises(
            SwiftError,
            match="tensor 2, context 1, pipeline 1, chunks 1, expert 1, replicas 1, optimizer shards 1 and can't be resharded",
        ) as caught:
            run_training(run_of(tiny_model, rows, "PP2", verb_options=allowed), tmp_path / "parts")
        return caught.value.hint

    assert on_ranks(2, again) == ["Resume with the same sizes, or start a new run from the checkpoint's model/."] * 2


@pytest.mark.parametrize("layout", ["TP2", "PP2"])
def test_killed_again_and_again(tiny_model, rows, tmp_path, layout):
    """SIGKILL at random instants, of saves too; each time it goes on, and in the end nothing of it is seen."""
    more = {"epochs": 30, "save_steps": 3}
    train(run_of(tiny_model, rows, layout, **more), 2, tmp_path / "whole")
    survived = train_through_kills(
        lambda resume: run_of(tiny_model, rows, layout, resume=resume, **more), tmp_path / "killed", ranks=2, kills=10, seed=1
    )
    whole = steps_of(tmp_path / "whole")
    assert {number: {step} for number, step in whole.items()} == survived.steps
    ours, theirs = load_file(survived.output / "model.safetensors"), load_file(tmp_path / "whole/output/model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    print(f"{layout}: {survived.kills} kills, {survived.in_saves} in a save")


SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8,
    "vocab_size": 51, "max_position_embeddings": 64,
}  # fmt: skip
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
KINDS = {
    "llama": {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 32}},
    "mistral": {"sliding_window": 16, "head_dim": 12},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
    "qwen2_moe": {**MIXTURE, "shared_expert_intermediate_size": 48},
    "qwen3_moe": {**MIXTURE, "norm_topk_prob": True},
}  # fmt: skip


def built(kind, dtype="float32", **options):
    from swift_plugin_megatron.strategy import MegatronStrategy

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **KINDS[kind]})
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)  # biases and norms too
    strategy = MegatronStrategy(MegatronOptions(device="cpu", **options))
    whole = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    reference = AutoModelForCausalLM.from_config(config, dtype=dtype)
    reference.load_state_dict(model.state_dict())
    strategy.build(lambda device: model, lambda module: torch.optim.AdamW(module.parameters(), weight_decay=0.0))
    return strategy, reference, whole


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_weights_are_transformers_own(kind):
    ids = torch.arange(3, 43)[None]

    def compare(**options):
        strategy, reference, whole = built(kind, **options)
        with torch.no_grad():
            want = reference.eval()(input_ids=ids).logits
            far = (strategy.stages[0](ids).logits - want).abs().max().item()
        back = dict(strategy.weights())
        assert back.keys() == whole.keys()
        return far if all(torch.equal(back[name], weight) for name, weight in whole.items()) else None

    mixture = "num_experts" in KINDS[kind]
    cuts = ((2, {"expert": 2}), (4, {"expert": 4})) if mixture else ((2, {"tensor": 2}), (4, {"tensor": 4}))
    cuts = (*cuts, (4, {"tensor": 4, "sequence": True, **({"expert": 2} if mixture else {})}))
    for processes, options in ((1, {}), *cuts):
        far = on_ranks(processes, partial(compare, **options))
        print(kind, processes, far)
        assert None not in far, "the weights come back bit for bit"
        assert max(far) < 1e-5


def test_weights_come_back_from_every_stage():
    def back():
        strategy, _, whole = built("qwen2", pipeline=2, tensor=2)
        found = dict(strategy.weights())
        return found.keys() == whole.keys() and all(torch.equal(found[name], weight) for name, weight in whole.items())

    assert on_ranks(4, back) == [True] * 4


def kept_of_activations(**options):
    """Bytes that a process keeps for the backward pass of one row of 64 tokens, beside weights."""
    strategy, _, _ = built("qwen3", **options)
    weights = {weight.untyped_storage().data_ptr() for weight in strategy.stages.parameters()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.arange(64) % 50
    zero, one = torch.zeros(1, dtype=torch.int64), torch.ones(1)
    micro = Micro(ids[None], torch.arange(64)[None], torch.tensor([3]), ids[4:5], one, (0,), zero, zero, one)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        strategy.accumulate([micro], NextToken(), 1.0)
    return sum(found.values())


def test_less_is_kept_of_cut_tokens():
    (alone,) = on_ranks(1, kept_of_activations)
    tensor, sequence, context = (
        max(on_ranks(2, partial(kept_of_activations, **options))) for options in ({"tensor": 2}, SEQUENCE, {"context": 2})
    )
    print(f"kept of {alone:,} bytes: tensor {tensor / alone:.2f}, with sequence {sequence / alone:.2f}, context {context / alone:.2f}")
    assert sequence < 0.85 * tensor
    assert context < 0.6 * alone


def test_bfloat16_learns_in_float32(tiny_model, rows, tmp_path):
    """Passes in bfloat16; what is stepped and kept is float32, so that small steps are not lost in rounding."""
    wide = train(run_of(tiny_model, rows, "TP2"), 2, tmp_path / "wide")
    narrow = train(run_of(tiny_model, rows, "TP2", save_steps=3, verb_options={"dtype": "bfloat16"}), 2, tmp_path / "narrow")
    assert narrow != wide
    close(narrow, wide, bound=0.1)
    saved = torch.load(next((tmp_path / "narrow/checkpoints").glob("*/state/tensor-0-pipeline-0-expert-0.pt")), weights_only=True)
    assert {weight.dtype for weight in saved.values()} == {torch.float32}


@pytest.fixture
def made(tiny_model, tmp_path):
    """A model of a kind with the tiny model's tokenizer."""

    def make(kind):
        tokens = AutoConfig.from_pretrained(tiny_model).to_dict()
        same = {name: tokens[name] for name in ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")}
        folder = tmp_path / kind
        shutil.copytree(tiny_model, folder)
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **KINDS[kind], **same})).save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize("layout", ["TP2", "TP2 PP2", "SP2 CP2"])
def test_norms_of_heads(made, rows, tmp_path, layout):
    """Each process of a tensor group has some heads, and so a share of the gradient of the norms that all heads have in common."""
    model = made("qwen3")
    one = run_training(training_run(model, rows, **settings(1)), tmp_path / "one")
    got = train(run_of(model, rows, layout), ALL[layout][0], tmp_path / "many")
    close(got, steps(one))
    ours, theirs = (written(tmp_path / name) for name in ("many", "one"))
    for name, want in theirs.items():
        torch.testing.assert_close(ours[name], want, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("layout", ["TP1", "EP2 CP2", "EP2 SP2"])
def test_router_losses_are_those_of_their_papers(layout):
    """The gradient of a router, against the formulas on transformers' own model; a micro-batch counts as much as its tokens do."""
    ids, scored = torch.arange(3, 43)[None], torch.arange(10, 39)
    micro = Micro(input_ids=ids, position_ids=torch.arange(40)[None], positions=scored, labels=ids[0, scored + 1],
                  weights=torch.ones(len(scored)), rows=(0,), sequence=torch.zeros(len(scored), dtype=torch.int64),
                  sample=torch.zeros(1, dtype=torch.int64), sample_weights=torch.ones(1))  # fmt: skip

    def gradients():
        strategy, reference, _ = built("qwen3_moe", router_loss=0.5, router_z_loss=0.01, **ALL[layout][1])
        strategy.accumulate([micro], NextToken(), 1 / 58)  # half of a step's tokens
        reduce_gradients(strategy.trainable)
        ours = [layer.mlp.router.weight.grad for layer in strategy.stages[0].model.decoder.layers]
        out = reference.train()(input_ids=ids, output_router_logits=True)
        total = torch.nn.functional.cross_entropy(out.logits[0, scored], ids[0, scored + 1], reduction="sum")
        for scores in out.router_logits:
            p = scores.softmax(-1)
            share = torch.zeros_like(p).scatter(1, scores.topk(2).indices, 1.0).mean(0) / 2
            total = total + 29 * (0.5 * 4 * (share * p.mean(0)).sum() + 0.01 * scores.logsumexp(-1).square().mean())
        (total / 58).backward()
        theirs = [layer.mlp.gate.weight.grad for layer in reference.model.layers]
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
        return True

    assert all(on_ranks(ALL[layout][0], gradients))


@pytest.mark.parametrize("layout", ["DP2", "EP2", "EP2 PP2", "EP2 CP2", "EP2 SP2"])
def test_router_losses_of_several_processes(made, rows, tmp_path, layout):
    """As of one process; where tokens are cut, those that pad a row count for the balance too."""
    more = {"tuner": "full", "router": {"router_loss": 0.5, "router_z_loss": 0.01}}
    model = made("qwen3_moe")
    one = train(run_of(model, rows, "TP1", **more), 1, tmp_path / "one")
    bound = 1e-2 if "CP" in layout or "SP" in layout else 1e-5
    close(train(run_of(model, rows, layout, **more), ALL[layout][0], tmp_path / "many"), one, bound)
    assert one != train(run_of(model, rows, "TP1", tuner="full"), 1, tmp_path / "without")


def test_the_capacity_of_experts(made, rows, tmp_path):
    """A capacity that no expert reaches changes nothing; a small one drops tokens."""
    model = made("qwen3_moe")
    found = [
        train(run_of(model, rows, "TP1", tuner="full", router={"expert_capacity": capacity}), 1, tmp_path / str(capacity))
        for capacity in (None, 100.0, 0.5)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
@pytest.mark.parametrize("layout", ["EP2", "PP2", "EP2 DP2", "EP2 PP2", "EP2 CP2", "EP2 CP2 DP2", "SP2", "EP2 SP2", "EP2 SP4"])
def test_mixtures(made, rows, tmp_path, kind, layout):
    """Experts dealt out over copies whose rows are of different lengths."""
    model = made(kind)
    one = run_training(training_run(model, rows, **settings(1)), tmp_path / "one")
    got = train(run_of(model, rows, layout), ALL[layout][0], tmp_path / "many")
    print(f"{kind} {layout}:", *far_of(got, steps(one)))
    close(got, steps(one))
    ours, theirs = (written(tmp_path / name) for name in ("many", "one"))
    for name, want in theirs.items():
        torch.testing.assert_close(ours[name], want, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("layout", ["EP2 SP2", "EP2 CP2 DP2"])
def test_adapters_on_a_mixture(made, rows, tmp_path, layout):
    """Of attention, and of the expert that all tokens share."""
    model = made("qwen2_moe")
    more = {"tuner": "lora", "tuner_options": {"dropout": 0.0, "targets": ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}}
    one = run_training(training_run(model, rows, **settings(1, **more)), tmp_path / "one")
    got = train(run_of(model, rows, layout, **more), ALL[layout][0], tmp_path / "many")
    close(got, steps(one))


def test_a_mixture_resumes_exactly(made, rows, tmp_path):
    model, more = made("qwen2_moe"), {"tuner": "lora", "tuner_options": {"dropout": 0.2}}
    for number, (layout, tuner) in enumerate((("EP2 DP2", {}), ("EP2 DP2", more), ("EP2 SP4", {}), ("EP2 SP4", {"dealt": True}))):
        folder = tmp_path / str(number)
        whole = train(run_of(model, rows, layout, **tuner), 4, folder / "whole")
        first = train(run_of(model, rows, layout, **tuner), 4, folder / "parts", stop_after=2)
        assert first + train(run_of(model, rows, layout, resume=folder / "parts", **tuner), 4, folder / "parts") == whole
