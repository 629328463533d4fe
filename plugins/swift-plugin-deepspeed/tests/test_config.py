"""DeepSpeed's JSON file: read with the options, merged with the run's settings, every contradiction reported by key."""

from __future__ import annotations

import json

import pytest
from swift_plugin_deepspeed import swift_check
from swift_plugin_deepspeed.config import engine_config, precision_of
from swift_plugin_deepspeed.options import (
    DeepSpeedOptions,
    Zero1Options,
    Zero2OffloadOptions,
    Zero2Options,
    Zero3OffloadOptions,
    Zero3Options,
)

from swift_core.contract.run import Run
from swift_core.options.model import Invalid
from swift_core.plugins.registered import registry

# as ms-swift and transformers ship it for ZeRO-3 with offload
SHIPPED = {
    "fp16": {
        "enabled": "auto",
        "loss_scale": 0,
        "loss_scale_window": 1000,
        "initial_scale_power": 16,
        "hysteresis": 2,
        "min_loss_scale": 1,
    },
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "cpu", "pin_memory": True},
        "overlap_comm": False,
        "contiguous_gradients": True,
        "sub_group_size": 1e9,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "stage3_max_live_parameters": 1e9,
        "stage3_max_reuse_distance": 1e9,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "steps_per_print": 2000,
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "wall_clock_breakdown": False,
}
# as DeepSpeed's own documentation writes them by hand
BY_HAND = {
    "train_batch_size": 16,
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": 4,
    "gradient_clipping": 1.0,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {"warmup_min_lr": 0, "warmup_max_lr": 1e-4, "warmup_num_steps": 10, "total_num_steps": 100},
    },
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8, "offload_optimizer": {"device": "cpu"}},
}
FITTING = {"batch_size": 2, "gradient_accumulation_steps": 4, "schedule": "linear", "warmup_steps": 10, "max_steps": 100}


def run_with(parallel, options, *, tuner="lora", optimizer="adamw", quantizer="", **verb_options):
    task = {key: verb_options.pop(key) for key in list(verb_options) if key not in ("dtype", "processes", "nodes")}
    known = registry()
    parts = {
        "task": known.choose("task", "sft", task),
        "tuner": known.choose("tuner", tuner),
        "optimizer": known.choose("optimizer", "adamw"),
        "parallel": known.choose("parallel", parallel, options),
    }
    parts["optimizer"] = known.choose("optimizer", optimizer)
    if quantizer:
        parts["quantizer"] = known.choose("quantizer", quantizer)
    return Run(verb="sft", job="", parts=parts, options={"dtype": "auto", "processes": 2, "nodes": 1, **verb_options})


@pytest.fixture(autouse=True)
def engine_present(monkeypatch):
    """Pretend that DeepSpeed is installed, to test the other checks."""
    monkeypatch.setattr("swift_train.strategy_checks.engine_state", lambda spec, distribution: type("Found", (), {"present": True})())


def messages(*arguments, **more):
    return [problem.message.removeprefix("DeepSpeed's configuration: ") for problem in swift_check(run_with(*arguments, **more))]


def test_names_and_aliases():
    known = registry()
    assert known.choose("parallel", "zero2_offload").options["offload_optimizer"] is True
    assert known.choose("parallel", "zero3_offload").options["offload_weights"] is True
    assert [known.get("parallel", f"zero{stage}").shards for stage in (1, 2, 3)] == [True] * 3
    assert [kind().stage for kind in (Zero1Options, Zero2Options, Zero3Options)] == [1, 2, 3]


def test_a_file_is_read_once_and_kept(tmp_path):
    file = tmp_path / "ds.json"
    file.write_text(json.dumps(SHIPPED))
    choice = registry().choose("parallel", "deepspeed", {"config": str(file)})
    file.unlink()
    assert choice.make_options().stage == 3
    assert choice.make_options().configured("zero_optimization", "offload_param", "device") == "cpu"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("deepspeed", "{", "is not valid JSON"),
        ("deepspeed", "[]", "must hold a JSON object"),
        ("deepspeed", "{}", "zero_optimization.stage is missing"),
        ("deepspeed", '{"zero_optimization": {"stage": 0}}', "plain data parallelism is --parallel ddp"),
        ("zero2", '{"zero_optimization": {"stage": 3}}', "zero_optimization.stage is 3, not 2"),
        ("zero2", None, "can't be read: No such file"),
    ],
)
def test_an_invalid_file(tmp_path, name, text, says):
    if text is not None:
        (tmp_path / "ds.json").write_text(text)
    with pytest.raises(Invalid, match=says) as caught:
        registry().choose("parallel", name, {"config": str(tmp_path / "ds.json")})
    assert caught.value.problems[0][0].startswith("config")


def test_the_configuration_of_the_engine():
    config = engine_config(DeepSpeedOptions(config=SHIPPED), "float32", hidden=64)
    assert (config["train_micro_batch_size_per_gpu"], config["gradient_accumulation_steps"]) == (1, 1)
    assert not {"train_batch_size", "gradient_clipping", "optimizer", "scheduler"} & config.keys()
    assert not config["fp16"]["enabled"]
    assert not config["bf16"]["enabled"]
    assert config["steps_per_print"] == 2000
    zero = config["zero_optimization"]
    assert (zero["reduce_bucket_size"], zero["stage3_prefetch_bucket_size"], zero["stage3_param_persistence_threshold"]) == (
        4096,
        3686,
        640,
    )
    assert zero["offload_param"] == {"device": "cpu", "pin_memory": True}
    assert "auto" not in json.dumps(config)


def test_the_users_values_win():
    config = engine_config(DeepSpeedOptions(config=BY_HAND), "bfloat16", hidden=64)
    assert config["zero_optimization"]["reduce_bucket_size"] == 5e8
    assert config["bf16"]["enabled"]
    assert precision_of(DeepSpeedOptions(config=BY_HAND)) == "bfloat16"
    loss_scale = {"fp16": {"enabled": True, "initial_scale_power": 10}, "zero_optimization": {"stage": 2}}
    assert engine_config(DeepSpeedOptions(config=loss_scale), "float16")["fp16"] == {"enabled": True, "initial_scale_power": 10}


def test_offload_by_name():
    assert engine_config(Zero2OffloadOptions(), "float32")["zero_optimization"] == {"offload_optimizer": {"device": "cpu"}, "stage": 2}
    zero = engine_config(Zero3OffloadOptions(config={"zero_optimization": {"offload_param": {"pin_memory": False}}}), "float32")
    assert zero["zero_optimization"]["offload_param"] == {"device": "cpu", "pin_memory": False}
    assert "offload_optimizer" not in engine_config(Zero2Options(), "float32")["zero_optimization"]


def test_files_that_agree_with_the_run():
    assert messages("deepspeed", {"config": SHIPPED}) == []
    assert messages("deepspeed", {"config": BY_HAND}, **FITTING) == []
    assert messages("zero1", {}) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train_batch_size": 64}, "train_batch_size: it is 64, the run has 2 rows × 4 micro-batches × 2 processes = 16"),
        ({"train_micro_batch_size_per_gpu": 8}, "train_micro_batch_size_per_gpu: it is 8, the run has 2"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps: it is 1, the run has 4"),
        ({"gradient_clipping": 0.5}, "gradient_clipping: it is 0.5, the run has 1.0"),
        ({"optimizer": {"type": "Lamb"}}, "optimizer.type: it is Lamb"),
        ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "optimizer.params.lr: it is 0.001, the run has 0.0001"),
        (
            {"optimizer": {"type": "AdamW", "params": {"betas": [0.9, 0.999]}}},
            "optimizer.params.betas: it is [0.9, 0.999], the run has [0.9, 0.95]",
        ),
        ({"optimizer": {"type": "AdamW", "params": {"weight_decay": 0}}}, "optimizer.params.weight_decay: it is 0, the run has 0.1"),
        ({"scheduler": {"type": "WarmupCosineLR"}}, "scheduler.type: it is WarmupCosineLR, the run has linear"),
        ({"scheduler": {"type": "OneCycle"}}, "scheduler.type: it is OneCycle"),
        (
            {"scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": 5}}},
            "scheduler.params.warmup_num_steps: it is 5, the run has 10",
        ),
        ({"fp16": {"enabled": True}}, "fp16.enabled: bf16 is enabled too"),
        ({"zero_optimisation": {}}, "zero_optimisation: unknown key"),
        ({"elasticity": {"enabled": True}}, "elasticity: DeepSpeed has removed it"),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "nvme"}}}, "zero_optimization.offload_optimizer.device: "),
        (
            {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}},
            "zero_optimization.offload_param.device: ZeRO-2 does not",
        ),
    ],
)
def test_each_conflict_is_named(change, says):
    (message,) = messages("deepspeed", {"config": {**BY_HAND, **change}}, **FITTING)
    assert message.startswith(says)


def test_all_conflicts_are_reported_at_once_with_hints():
    problems = list(swift_check(run_with("deepspeed", {"config": BY_HAND}, dtype="float32")))
    keys = [problem.message.split(": ")[1] for problem in problems]
    assert keys == ["train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size", "bf16.enabled", "scheduler.type",
                    "scheduler.params.warmup_num_steps", "scheduler.params.total_num_steps"]  # fmt: skip
    assert "--batch-size 2" in problems[0].hint
    assert all(problem.hint and problem.fatal for problem in problems)


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        (("zero2", {}), {"optimizer": "muon"}, "ZeRO shards weights, but 'muon' needs whole ones"),
        (("zero2", {}), {"tuner": "adalora"}, "AdaLoRA needs whole gradients"),
        (("zero3", {}), {"quantizer": "bnb"}, "'zero3' can't shard quantized weights"),
        (("zero3", {}), {"compile": True}, "'zero3' gathers weights between layers"),
    ],
)
def test_combinations_that_are_refused(arguments, more, says):
    (message,) = messages(*arguments, **more)
    assert message.startswith(says)


def test_an_untested_optimizer_can_be_allowed():
    assert messages("zero2", {"config": {"zero_allow_untested_optimizer": True}}, optimizer="muon") == []
