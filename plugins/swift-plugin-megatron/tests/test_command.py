"""The program `megatron`: lines with the names of ms-swift and Megatron-LM are lines of swift, with a note on each difference."""

from __future__ import annotations

import shlex

import pytest
from swift_plugin_megatron.command import swift_line

from swift_core.contract import UsageError

LINE = """sft --model M --dataset rows.jsonl --tensor_model_parallel_size 2 --micro_batch_size 2 --global_batch_size 32 --lr 1e-5
--min_lr 1e-6
--lr_warmup_fraction 0.05 --train_iters 100 --recompute_granularity full --recompute_method uniform --recompute_num_layers 1
--finetune true --no_save_optim true --no_save_rng true --cross_entropy_loss_fusion true --sequence_parallel true --attention_backend flash
--lr_decay_style WSD --output_dir out"""


def flags(line):
    found, name = {}, ""
    for word in line.words[1:]:
        if word.startswith("--"):
            name = word.removeprefix("--")
            found[name] = []
        else:
            found[name].append(word)
    return found


def test_a_whole_line():
    line = swift_line(shlex.split(LINE), {"NPROC_PER_NODE": "8"})
    assert line.words[0] == "sft"
    found = flags(line)
    expected = {
        "parallel": "megatron", "learning_rate": "1e-5", "min_lr": "1e-6", "warmup_ratio": "0.05", "max_steps": "100", "batch_size": "2",
        "gradient_accumulation_steps": "4", "gradient_checkpointing": "true", "save_only_model": "true", "schedule": "wsd",
        "sequence_parallel": "true", "tensor_model_parallel_size": "2", "model": "M", "output_dir": "out",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {name: [value] for name, value in expected.items()}
    for ignored in ("recompute_method", "finetune", "no_save_rng", "attention_backend", "cross_entropy_loss_fusion"):
        assert ignored not in found
        assert any(note.startswith(f"--{ignored} has no effect") for note in line.notes), ignored


@pytest.mark.parametrize(("processes", "steps"), [("2", "16"), ("4", "8"), ("8", "4")])
def test_the_global_batch_size_is_over_the_replicas(processes, steps):
    words = shlex.split("sft --tensor_model_parallel_size 2 --micro_batch_size 1 --global_batch_size 16")
    assert flags(swift_line(words, {"NPROC_PER_NODE": processes}))["gradient_accumulation_steps"] == [steps]
    assert flags(swift_line([*words, "--nproc_per_node", processes], {}))["gradient_accumulation_steps"] == [steps]


def test_merging_follows_the_training():
    line = swift_line(shlex.split("sft --model M --dataset d --merge_lora true --output_dir out"), {})
    assert (line.merged, "merge_lora" in flags(line)) == ("out", False)
    merging = swift_line(shlex.split("export --adapters a --merge_lora true --output_dir out --tensor_model_parallel_size 2"), {})
    assert merging.words == ["merge", "--adapter", "a", "--output_dir", "out"]
    named = swift_line(shlex.split("sft --model org/M --dataset d --merge_lora true"), {})
    assert named.merged == flags(named)["output"][0] == "megatron_output/M"


@pytest.mark.parametrize(("words", "expected"), [
    ("--model M --to_mcore true --output_dir o --torch_dtype bfloat16 --expert_model_parallel_size 2",
     "export --model M --to safetensors --output_dir o --torch_dtype bfloat16"),
    ("--mcore_model M --to_hf true --output_dir o", "export --model M --to safetensors --output_dir o"),
    ("--model M --adapters a --merge_lora false --to_mcore true --output_dir o", "export --adapter a --to safetensors --output_dir o"),
    ("--model M --mcore_adapter a --to_hf true --output_dir o", "merge --model M --adapter a --output_dir o"),
])  # fmt: skip
def test_conversions_are_copies(words, expected):
    """Megatron reads and writes Hugging Face checkpoints; what is dropped is said."""
    line = swift_line(["export", *shlex.split(words)], {})
    assert shlex.join(line.words) == expected
    if "--expert" in words:
        assert any(note.startswith("--expert_model_parallel_size has no effect") for note in line.notes)


def test_a_file_of_options(tmp_path):
    (tmp_path / "m.yaml").write_text("model: M\ndataset: [a, b]\nlr: 1e-4\nfinetune: true\nmoe_aux_loss_coeff: 1e-3\nENV: {X: 1}\n")
    line = swift_line(["sft", "--config", str(tmp_path / "m.yaml"), "--lr", "2e-4"], {})
    found = flags(line)
    assert {name: found[name] for name in ("model", "dataset", "moe_aux_loss_coeff")} == {
        "model": ["M"], "dataset": ["a", "b"], "moe_aux_loss_coeff": ["1e-3"],
    }  # fmt: skip
    assert found["learning_rate"][-1] == "2e-4"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("train --model M", ""),
        ("sft --global_batch_size 3 --micro_batch_size 2", "--global_batch_size"),
        ("sft --mtp_num_layers 1", "--mtp_num_layers"),
        ("export --model M", "--to_hf"),
        ("export --adapters A --to_hf true --fp8_recipe blockwise", "--fp8_recipe"),
    ],
)
def test_what_is_not_possible_is_refused_with_the_way(words, where):
    with pytest.raises(UsageError) as refused:
        swift_line(shlex.split(words), {})
    assert refused.value.where == where
    assert refused.value.hint


def test_float8_is_a_quantization_of_the_checkpoint():
    line = swift_line(shlex.split("export --model M --to_hf true --fp8_recipe blockwise --fp8_format e4m3 --output_dir out"), {})
    assert line.words == ["quantize", "--model", "M", "--quantizer", "fp8", "--output_dir", "out"]


@pytest.mark.parametrize(
    ("words", "strategy"),
    [
        ("sft --task_type embedding --tensor_model_parallel_size 2 --sequence_parallel true", ["mesh", "--parallel.tensor", "2"]),
        ("rlhf --rlhf_type rm --expert_model_parallel_size 2", ["fsdp"]),
        ("sft --task_type seq_cls --pipeline_model_parallel_size 2", ["megatron"]),
    ],
)
def test_heads_of_scores_are_trained_by_torch(words, strategy):
    line = swift_line(shlex.split(words), {})
    at = line.words.index("--parallel")
    assert line.words[at + 1 : at + 1 + len(strategy)] == strategy
    assert ("--expert_model_parallel_size" in line.words) == (strategy == ["megatron"] and "expert" in words)


def test_roles_of_a_cluster(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "rlhf_type: grpo\nmodel: M\ncolocate_groups: [[train, rollout]]\ntrain: {gpus: 4, tuner_type: lora}\n"
        "rollout: {gpus: 4, vllm_max_model_len: 8}\n"
    )
    line = swift_line(["rlhf", "--use_ray", "true", "--config", str(tmp_path / "r.yaml")], {})
    found = flags(line)
    assert (found["launcher"], found["nproc_per_node"], found["tuner_type"], found["vllm_max_model_len"]) == (
        ["ray"],
        ["4"],
        ["lora"],
        ["8"],
    )
    assert "colocate_groups" not in found


@pytest.mark.parametrize("ends", [(1, None), (None, 2), (3, 1)])
def test_uneven_stages_have_all_layers_in_order(ends):
    from swift_plugin_megatron.placement import Partition
    from swift_plugin_megatron.sizes import stage_lengths

    first, last = ends
    lengths = stage_lengths(10, 4, first, last)
    assert sum(lengths) == (10 if lengths else 0)
    if lengths:
        places = [Partition(10, 4, first=first, final=last).locate(layer) for layer in range(10)]
        assert places == [(stage, index) for stage, length in enumerate(lengths) for index in range(length)]
        assert first in (None, lengths[0])
        assert last in (None, lengths[-1])
    else:
        assert (10 - sum(end or 0 for end in ends)) % (4 - sum(end is not None for end in ends))


def test_what_is_switched_off_is_no_error():
    line = swift_line(shlex.split("sft --fp8_recipe blockwise --fp8_format e4m3 --fp8_param_gather true"), {})
    assert line.words == ["sft", "--parallel", "megatron", "--fp8"]
    assert "blockwise" in line.notes[0]
    assert swift_line(shlex.split("sft --fp8_param_gather false --sequence_parallel true"), {}).words == ["sft", "--parallel", "megatron"]
