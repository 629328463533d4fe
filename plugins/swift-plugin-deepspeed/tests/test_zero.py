"""DeepSpeed itself on CPU processes: `make test-full LANE=deepspeed`. What one process learns is the measure of everything."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file
from swift_plugin_deepspeed.ops import cpu_adam, operators_folder
from swift_train.crash_testing import check_kills
from swift_train.testing import memory_grown, on_ranks, ragged_chats, run_training, training_run, write_rows

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.plugins.registered import registry

pytestmark = [pytest.mark.full("deepspeed"), pytest.mark.usefixtures("deepspeed")]

ROWS = 19  # an epoch of two steps of 8 rows, and one of 3
STAGES = ("zero1", "zero2", "zero3")


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(ROWS))


def settings(ranks, **more):
    """Eight rows a step in several micro-steps, clipped, over two epochs; without dropout, which is a process's own."""
    if more.get("tuner", "lora") == "lora":
        more = {"tuner_options": {"dropout": 0.0}, **more}
    return {"batch_size": 1, "gradient_accumulation_steps": 8 // ranks, "epochs": 2, "max_grad_norm": 0.5, "learning_rate": 3e-3, **more}


def run_of(model, rows, parallel, ranks, *, config=None, dtype="float32", resume=None, **more):
    verb_options = {"dtype": dtype, **({"resume": str(resume)} if resume else {})}
    run = training_run(model, rows, verb_options=verb_options, **settings(ranks, **more))
    chosen = registry().choose("parallel", parallel, {"config": config} if config else {})
    return replace(run, parts={**run.parts, "parallel": chosen})


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def train(run, ranks, folder):
    """The steps of a run, and the weights that it wrote."""
    metrics = on_ranks(ranks, partial(run_training, run, folder))
    assert all(steps(rank) == steps(metrics[0]) for rank in metrics), "every rank sees the same losses"
    (file,) = (folder / "output").glob("*.safetensors")
    return steps(metrics[0]), load_file(file)


def close(got, want, bound=1e-5):
    torch.testing.assert_close(torch.tensor(got), torch.tensor(want), atol=bound, rtol=bound)


@pytest.fixture(scope="module")
def plain(tiny_model, tmp_path_factory):
    """One process without ZeRO, by tuner: steps and weights."""
    folder = tmp_path_factory.mktemp("plain")
    file = write_rows(folder / "rows.jsonl", ragged_chats(ROWS))
    return {tuner: train(run_of(tiny_model, file, "ddp", 1, tuner=tuner), 1, folder / tuner) for tuner in ("full", "lora")}


@pytest.fixture
def trained(tiny_model, rows, tmp_path):
    """Trains by a strategy: steps and weights."""

    def work(parallel, ranks, **more):
        return train(run_of(tiny_model, rows, parallel, ranks, **more), ranks, tmp_path / "run")

    return work


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("parallel", STAGES)
def test_as_one_process(trained, plain, parallel, tuner, ranks):
    """Losses, norms before clipping, and the weights in the end, gathered."""
    want, weights = plain[tuner]
    got, written = trained(parallel, ranks, tuner=tuner)
    assert any(norm > 0.5 for _, norm in want), "something must be clipped"
    close(got, want)
    assert written.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(written[name], weight, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("parallel", STAGES)
def test_resume_is_exact(tiny_model, rows, tmp_path, parallel):
    """With dropout, whose random states are a process's own."""
    settled = {"tuner_options": {"dropout": 0.2}}
    whole = on_ranks(2, partial(run_training, run_of(tiny_model, rows, parallel, 2, **settled), tmp_path / "whole"))[0]
    first = on_ranks(2, partial(run_training, run_of(tiny_model, rows, parallel, 2, **settled), tmp_path / "parts", stop_after=2))[0]
    resumed = run_of(tiny_model, rows, parallel, 2, resume=tmp_path / "parts", **settled)
    second = on_ranks(2, partial(run_training, resumed, tmp_path / "parts"))[0]
    assert len(steps(first)) == 2
    assert steps(first + second) == steps(whole)
    files = [(tmp_path / name / "output/adapter_model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


@pytest.mark.parametrize("parallel", STAGES)
def test_another_number_of_processes_is_refused(tiny_model, rows, tmp_path, parallel):
    on_ranks(2, partial(run_training, run_of(tiny_model, rows, parallel, 2), tmp_path / "parts", stop_after=2))
    (checkpoint,) = (tmp_path / "parts/checkpoints").iterdir()

    def reported(ranks):
        strategy = built(parallel, checkpoint.parent.parent)
        with pytest.raises(SwiftError, match=f"written by 2 processes of ZeRO-{parallel[-1]}.*this run has {ranks} of"):
            strategy.load(checkpoint / "state")

    def built(name, folder):
        strategy = registry().choose("parallel", name, {"device": "cpu"}).build()
        strategy.build(lambda device: torch.nn.Linear(4, 4), lambda module: torch.optim.AdamW(module.parameters()))
        return strategy

    for ranks in (1, 4):
        on_ranks(ranks, partial(reported, ranks))


@pytest.mark.parametrize(("parallel", "tuner"), [("zero2-offload", "lora"), ("zero3-offload", "full")])
def test_offload_steps_on_the_cpu_by_deepspeeds_adamw(trained, plain, parallel, tuner):
    want, _ = plain[tuner]
    got, _ = trained(parallel, 2, tuner=tuner)
    close(got, want)
    assert proof_of(parallel)["optimizer"].endswith(" over DeepSpeedCPUAdam")


def test_offload_resumes_exactly(tiny_model, rows, tmp_path):
    whole = on_ranks(2, partial(run_training, run_of(tiny_model, rows, "zero3-offload", 2), tmp_path / "whole"))[0]
    first = on_ranks(2, partial(run_training, run_of(tiny_model, rows, "zero3-offload", 2), tmp_path / "parts", stop_after=2))[0]
    resumed = run_of(tiny_model, rows, "zero3-offload", 2, resume=tmp_path / "parts")
    assert steps(first + on_ranks(2, partial(run_training, resumed, tmp_path / "parts"))[0]) == steps(whole)


SIZE = 64  # a linear layer of 4096 weights


def small(name, options=None):
    strategy = registry().choose("parallel", name, {"device": "cpu", **(options or {})}).build()

    def load(device):
        torch.manual_seed(0)
        return torch.nn.Linear(SIZE, SIZE)

    strategy.build(load, lambda module: torch.optim.AdamW(module.parameters(), weight_decay=0.0))
    return strategy


def proof_of(name, ranks=2, options=None):
    return on_ranks(ranks, lambda: small(name, options).placement)[0]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_shards_of_a_process_are_verified(stage):
    whole = SIZE * SIZE + SIZE
    cut = {"config": {"zero_optimization": {"stage3_param_persistence_threshold": 0}}} if stage == 3 else {}
    one, two, four = (proof_of(f"zero{stage}", ranks, cut) for ranks in (1, 2, 4))
    assert (two["engine"], two["stage"], two["processes"], two["trainable"]) == ("DeepSpeedEngine", stage, 2, whole)
    assert one["optimizer_bytes"] == 12 * whole
    assert two["optimizer_bytes"] == one["optimizer_bytes"] / 2
    assert four["optimizer_bytes"] == one["optimizer_bytes"] / 4
    assert two["weight_bytes"] == 4 * whole / (2 if stage == 3 else 1)


def test_one_process_alone_reads_the_model():
    """Under ZeRO-3: the others build its shapes, whatever they would have drawn, and get their parts and the buffers."""
    layers, width = 12, 1500
    whole = 4 * layers * (width * width + width)

    def load(device):
        torch.manual_seed(torch.distributed.get_rank())
        with device:
            model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
            model.register_buffer("frequencies", torch.rand(8), persistent=False)
        return model

    def work():
        import deepspeed

        initialize = deepspeed.initialize

        def measured(**given):
            most.append(grown() / whole)
            return initialize(**given)

        small("zero3")  # what is imported and set up is not counted
        deepspeed.initialize = measured
        most, grown = [], memory_grown()
        strategy = registry().choose("parallel", "zero3", {"device": "cpu"}).build()
        strategy.build(load, lambda module: torch.optim.AdamW(module.parameters()))
        sums = [tensor.double().sum().item() for _, tensor in strategy.weights()]
        return most[0], [*sums, strategy.module.frequencies.sum().item()], strategy.placement["full_readers"]

    first, *others = on_ranks(4, work)
    assert first[0] > 1
    assert max(most for most, *_ in others) < 0.5, "a quarter, and a layer"
    assert all(sums == first[1] for _, sums, _ in others)
    assert first[2] == 1


def test_zero_that_became_data_parallel_is_found(monkeypatch):
    """DeepSpeed given stage 0 trains all the same, with whole optimizers: nothing but the proof would tell."""

    def failing():
        import swift_plugin_deepspeed.strategy as module

        real = module.engine_config
        monkeypatch.setattr(module, "engine_config", lambda *given: {**real(*given), "zero_optimization": {"stage": 0}})
        with pytest.raises(SwiftError, match="DeepSpeed did not prepare the requested ZeRO stage: its stage is 0, not 2"):
            small("zero2")

    on_ranks(2, failing)


@pytest.mark.parametrize("parallel", ["zero2", "zero3"])
def test_bfloat16_from_the_file(trained, plain, parallel):
    """The passes are rounded; what learns is kept, and written, in float32."""
    want, _ = plain["full"]
    got, written = trained(parallel, 2, tuner="full", dtype="auto", config={"bf16": {"enabled": True}})
    close(got, want, bound=0.1)
    assert {weight.dtype for weight in written.values()} == {torch.float32}
    assert any(weight.bfloat16().float().ne(weight).any() for weight in written.values()), "no weight has more than bfloat16's digits"


class Constant:
    """A task whose gradient is known: the mean of the outputs."""

    def forward(self, model, micro):
        return model(micro.inputs)

    def loss(self, output, micro):
        return output.float().sum()


class Inputs:
    def __init__(self, value, dtype=torch.float32):
        self.inputs = torch.full((1, SIZE), value, dtype=dtype)

    def to(self, device):
        return self


@pytest.mark.parametrize("parallel", STAGES)
def test_a_gradient_that_is_not_finite_changes_nothing(parallel):
    def work():
        strategy = small(parallel)
        before = dict(strategy.weights())
        strategy.accumulate([Inputs(float("inf"))], Constant(), 1.0)
        skipped = strategy.update(1e-3, 1.0)
        after = dict(strategy.weights())
        same = all(torch.equal(before[name], after[name]) for name in before)
        strategy.accumulate([Inputs(1.0), Inputs(1.0)], Constant(), 0.5)
        return skipped.skipped, same, strategy.update(1e-3, None)

    for skipped, same, update in on_ranks(2, work):
        assert skipped
        assert same
        # two processes × two micro-batches × 0.5 × ones: each of 64 × 64 weights and 64 biases has the gradient 2
        assert update.norm == pytest.approx(2 * (SIZE * SIZE + SIZE) ** 0.5)
        assert not update.skipped


@pytest.mark.parametrize("parallel", ["zero2", "zero3"])
def test_float16_with_a_dynamic_scale(parallel):
    """An overflow halves the scale, calm steps double it, and the norm is not touched by either. This CPU refuses float16 by itself."""
    config = {"fp16": {"enabled": True, "initial_scale_power": 16, "loss_scale_window": 2, "hysteresis": 1}}

    def work():
        from deepspeed.accelerator import get_accelerator

        type(get_accelerator()).is_fp16_supported = lambda self: True
        strategy = small(parallel, {"config": config})
        seen = []
        for _ in range(6):
            strategy.accumulate([Inputs(1.0, torch.float16)], Constant(), 1.0)
            update = strategy.update(0.0, None)
            seen.append((update.skipped, update.norm, strategy.zero.loss_scaler.cur_scale))
        return seen

    seen = on_ranks(2, work)[0]
    assert seen[0][0], "65536 × 2 overflows float16"
    assert seen[0][2] < 2**16
    calm = [norm for skipped, norm, _ in seen if not skipped]
    assert calm == pytest.approx([2 * (SIZE * SIZE + SIZE) ** 0.5] * len(calm), rel=1e-3)
    scales = [scale for *_, scale in seen]
    assert any(later > sooner for sooner, later in pairwise(scales)), "the scale never grew"


def never(*given):
    raise AssertionError("it should have been reported before anything is loaded")


@pytest.mark.parametrize(
    ("config", "says"),
    [({"fp16": {"enabled": True}}, "does not support float16"), ({"zero_optimization": {"reduce_buckt_size": 1}}, "reduce_buckt_size")],
)
def test_what_deepspeed_refuses_is_reported_before_anything_is_loaded(config, says, monkeypatch):
    from deepspeed.accelerator import get_accelerator

    monkeypatch.setattr(type(get_accelerator()), "is_fp16_supported", lambda self: False)  # as on most CPUs
    with pytest.raises(UsageError, match=says):
        registry().choose("parallel", "zero2", {"device": "cpu", "config": config}).build().build(never, never)


@pytest.mark.parametrize(
    ("error", "messages"),
    [(OSError(errno.ENOSPC, "no"), [None, None]), (SwiftError("it fails"), ["another process of the run failed", "it fails"])],
)
def test_a_process_that_can_not_write(tiny_model, rows, tmp_path, error, messages):
    """The other does not wait for it for ever, and no checkpoint is left. Where the disk is full, both go on."""
    run = run_of(tiny_model, rows, "zero3", 2, save_steps=1)

    def failing():
        import swift_plugin_deepspeed.strategy as module

        real = module.save_tensors

        def save(path, state):
            if path.name == "zero-1.pt":
                raise error
            real(path, state)

        module.save_tensors = save
        try:
            run_training(run, tmp_path / "run")
        except SwiftError as found:
            return found.message

    assert on_ranks(2, failing) == messages
    assert not list((tmp_path / "run/checkpoints").iterdir())


def test_by_the_command(tiny_model, swift_project):
    """`--deepspeed FILE.json` as DeepSpeed's users have it, over two processes."""
    swift_project.env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if "deepspeed" in path)
    config = {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": "auto", "zero_optimization": {"stage": 3}}
    swift_project.write({"ds.json": config, "rows.jsonl": ragged_chats(ROWS)})
    words = ["sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "2", "--device", "cpu", "--processes", "2"]
    refused = swift_project.run(*words, "--deepspeed", "ds.json", "--batch-size", "4")
    refused.assert_failure("train_micro_batch_size_per_gpu: it is 2, the run has 4")
    assert not (swift_project.folder / "runs").exists()
    swift_project.run(*words, "--deepspeed", "ds.json").assert_success()  # the file's batch size counts if the command has none
    (folder,) = (swift_project.folder / "runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert (run["parts"]["parallel"]["name"], run["parts"]["task"]["options"]["batch_size"]) == ("deepspeed", 2)
    proof = json.loads((folder / "parallel.json").read_text())
    assert (proof["strategy"], proof["engine"], proof["stage"], proof["processes"]) == ("deepspeed", "DeepSpeedEngine", 3, 2)
    assert proof["max_weight_bytes"] < 0.6 * proof["model_bytes"]
    assert (folder / "output/adapter_model.safetensors").is_file()


def test_a_build_that_was_killed_holds_no_run_up():
    """torch waits for ever on a file that a killed build left."""
    (operators_folder() / "cpu_adam").mkdir(parents=True, exist_ok=True)
    (operators_folder() / "cpu_adam" / "lock").touch()

    def step():
        made = cpu_adam(torch.optim.AdamW([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.0))
        (weight,) = made.param_groups[0]["params"]
        weight.grad = torch.ones(4)
        made.step()
        return type(made).__name__, weight.tolist()

    for made, weight in on_ranks(2, step, timeout=600):
        assert made == "DeepSpeedCPUAdam"
        assert weight == pytest.approx([0.9] * 4)


def test_without_a_compiler_torchs_adamw_does_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/no/compiler")
    assert on_ranks(1, lambda: type(cpu_adam(torch.optim.AdamW([torch.nn.Parameter(torch.ones(4))]))).__name__) == ["AdamW"]


@pytest.mark.parametrize("parallel", ["zero1", "zero2"])
def test_qlora(tiny_model, rows, tmp_path, parallel):
    """A base in 4 bits, whole in each process."""
    got = {}
    for name, ranks in (("ddp", 1), (parallel, 2)):
        run = run_of(tiny_model, rows, name, ranks, tuner="qlora", tuner_options={"dropout": 0.0})
        run = replace(run, parts={**run.parts, "quantizer": registry().choose("quantizer", "bnb")})
        got[name], _ = train(run, ranks, tmp_path / name)
    close(got[parallel], got["ddp"])


@pytest.mark.parametrize(("parallel", "tuner"), [("zero1", "full"), ("zero2", "lora"), ("zero3", "full")])
def test_ten_kills(tiny_model, rows, tmp_path, parallel, tuner):
    """Killed at random instants, in the middle of saves too, it ends as a training that was not."""

    def make(resume):
        return run_of(tiny_model, rows, parallel, 2, tuner=tuner, resume=resume, epochs=30, save_steps=3)

    survived = check_kills(make, tmp_path, ranks=2, kills=10, seed=1)
    print(f"{parallel}: {survived.kills} kills, {survived.in_saves} of them in the middle of a save")


@pytest.mark.parametrize(
    ("parallel", "more"),
    [("zero2", {"tuner": "dora", "tuner_options": {"dropout": 0.0}}), ("zero3", {"tuner": "dora", "tuner_options": {"dropout": 0.0}}),
     ("zero3", {"tuner": "full", "packing": True, "max_length": 320})],
)  # fmt: skip
def test_dora_and_packing(tiny_model, rows, tmp_path, parallel, more):
    want, _ = train(run_of(tiny_model, rows, "ddp", 1, **more), 1, tmp_path / "plain")
    got, _ = train(run_of(tiny_model, rows, parallel, 2, **more), 2, tmp_path / "cut")
    close(got, want)
