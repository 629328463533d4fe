"""Files of other tools are imported, each key is mapped, dropped or listed, and what is written resolves."""

from __future__ import annotations

import json
import re
import shutil
from math import prod
from pathlib import Path

import pytest
import yaml
from swift_plugin_import import yaml_file
from swift_plugin_import.importer import importer_for
from swift_plugin_import.source import Source
from swift_plugin_import.vocabulary import nested

from tests.here import swift_here

FILES = Path(__file__).parent / "files"
SECRETS = ("hf_abcdefghijklmnopqrstuvwxyz", "0123456789abcdef0123456789abcdef01234567")
ADAMW = {"weight_decay": 0.0, "beta2": 0.999}

# file → verb, keys that are not possible, settings that it must have
EXPECTED = {
    "llama-factory/lora_sft.yaml": ("sft", [], {
        "model": "acme/moon-8b-instruct", "dataset": ["alpaca_en_demo#400"], "batch_size": 2, "epochs": 2.0, "truncation": "right",
        "tuner": {"name": "lora", "rank": 16, "alpha": 32, "dropout": 0.05, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]},
        "validation_ratio": 0.05, "eval_steps": 100, "dtype": "bfloat16", "optimizer": ADAMW, "parallel": {"timeout": 90000},
    }),
    "llama-factory/full_sft_ds3.yaml": ("sft", [], {
        "tuner": {"name": "full"}, "parallel": {"name": "zero3"}, "template_variables": {"enable_thinking": False},
    }),
    "llama-factory/qlora.yaml": ("sft", [], {
        "tuner": {"name": "qlora", "targets": "all-linear", "rank": 8, "alpha": 16, "dropout": 0.0}, "max_steps": 300, "warmup_steps": 20,
        "schedule": "constant", "dtype": "float16", "attention": "sdpa",
    }),
    "llama-factory/pretrain.yaml": ("pretrain", [], {"dataset": ["c4_demo"], "packing": True, "truncation": "split", "save_steps": 100}),
    "llama-factory/dpo.yaml": ("dpo", [], {"beta": 0.2, "rpo_alpha": 0.1, "loss_type": ["sigmoid"], "learning_rate": 5e-6}),
    "llama-factory/simpo.json": ("cpo", [], {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.2, "cpo_alpha": 0.0}),
    "llama-factory/freeze_dora_missing.yaml": ("sft", ["moon_phase"], {"tuner": {"name": "freeze", "last_blocks": 4}}),
    "llama-factory/merge.yaml": ("merge", [], {"adapter": ["saves/moon-8b/lora"], "output": "output/merged"}),
    "llama-factory/infer.yaml": ("infer", [], {"adapter": ["saves/moon-8b/lora"], "backend": {"name": "transformers"}}),
    "llama-factory/newer.yaml": ("sft", [], {
        "gradient_accumulation_steps": 8, "batch_size": 1, "parallel": {"name": "fsdp2"}, "max_steps": 10,
        "tuner": {"name": "lora", "rank": 16, "alpha": 32, "targets": "all-linear", "dropout": 0.0},
    }),
    "llama-factory/megatron.yaml": ("sft", [], {
        "parallel": {"name": "megatron", "tensor": 2, "pipeline": 2, "sequence": True, "distributed_optimizer": True}, "dtype": "bfloat16",
        "tuner": {"name": "full", "freeze_vit": False}, "media": {"max_pixels": 262144},
    }),
    "llama-factory/newer_freeze.yaml": ("sft", [], {
        "tuner": {"name": "freeze", "last_blocks": 2}, "validation_ratio": 10, "processes": 4, "launcher": {"name": "ray"},
        "optimizer": {"name": "muon", "weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9, "beta2": 0.95},
    }),
    "llama-factory/pro.yaml": ("sft", [], {"tuner": {"name": "freeze", "spread_blocks": 8}}),
    "llama-factory/predict.yaml": ("infer", [], {
        "dataset": ["alpaca_en_demo#50"], "output": "saves/predict/generated_predictions.jsonl", "adapter": ["saves/moon-8b/lora"],
    }),
    "llama-factory/cli.sh": ("sft", [], {
        "model": "acme/moon-8b-instruct", "learning_rate": 1e-4, "dtype": "bfloat16",
        "tuner": {"name": "dora", "targets": "all-linear", "rank": 8, "alpha": 16, "dropout": 0.0},
    }),
    "axolotl/lora.yml": ("sft", [], {
        "dataset": ["mhenrichsen/alpaca_2k_test"], "quantizer": {"name": "bnb", "bits": 8}, "packing": True,
        "attention": "flash_attention_2",
        "tuner": {"name": "lora", "rank": 32, "alpha": 16, "dropout": 0.05, "targets": "all-linear"}, "truncation": "drop", "batch_size": 2,
    }),
    "axolotl/qlora_fsdp.yml": ("sft", [], {
        "tuner": {"name": "qlora", "rank": 16, "alpha": 32, "targets": ["q_proj", "v_proj"]}, "attention": "sdpa", "warmup_ratio": 0.1,
    }),
    "axolotl/chat_template.yaml": ("sft", [], {
        "dataset": [{"name": "data/chats.jsonl", "columns": {"conversation": "messages"}}], "truncation": "right", "schedule": "linear",
        "data": {"roles": {"person": "user", "bot": "assistant"}}, "gradient_accumulation_steps": 8, "tuner": {"name": "full"},
    }),
    "axolotl/completion.yaml": ("pretrain", [], {
        "dataset": [{"name": "acme/essays", "columns": {"body": "text"}}], "validation_ratio": 0.01, "gradient_checkpointing": False,
    }),
    "axolotl/pretraining_stream.yaml": ("pretrain", [], {
        "dataset": [{"name": "acme/corpus", "subset": "en"}], "data": {"streaming": True}, "max_steps": 200, "warmup_ratio": 0.1,
    }),
    "axolotl/dpo.yaml": ("dpo", [], {"beta": 0.2, "dataset": [{"name": "acme/pairs", "columns": {"question": "prompt"}}]}),
    "axolotl/orpo.yaml": ("orpo", [], {"beta": 0.1, "schedule": "constant", "warmup_steps": 10}),
    "axolotl/fsdp_full.yaml": ("sft", [], {"parallel": {"name": "fsdp", "wrap": ["LlamaDecoderLayer"], "reshard_after_forward": True}}),
    "axolotl/deepspeed.yaml": ("sft", [], {"parallel": {"name": "zero2"}, "dataset": ["data/rows.jsonl"], "save_steps": 0.25}),
    "axolotl/unfrozen.yaml": ("sft", [], {
        "tuner": {"name": "freeze", "train_regex": "(?:^lm_head.weight$)|(?:model.layers.3[01])"}, "val_dataset": ["data/test.jsonl"],
        "callbacks": [{"name": "early-stopping", "patience": 2}], "eval_steps": 50,
    }),
    "axolotl/context_parallel.yaml": ("sft", [], {"parallel": {"name": "mesh", "context": 2}, "mask": {"turns": "everything"}}),
    "axolotl/showcase_missing.yaml": ("sft", [
        "datasets.0.type", "moon_phase"], {"attention": "sdpa", "tuner": {
            "name": "lora", "rank": 8, "alpha": 16, "targets": "all-linear"}}),
    "axolotl/grpo.yaml": ("grpo", [], {
        "rollout": {"name": "http://10.0.0.1:8100/v1"}, "reward_funcs": ["rewards:near_the_moon", "accuracy"], "beta": 0.001,
        "dataset": [{"name": "hf:acme/questions", "files": ["train/a.jsonl", "train/b.jsonl"], "subset": "main"}], "num_generations": 4,
    }),
    "axolotl/mixture_kernels.yaml": ("sft", [], {
        "model": "hf:acme/moon-26b-a4b@abcdef", "attention": "flash_attention_3",
        "validation_ratio": 20, "loss_type": "eaft", "eaft_alpha": 0.5,
        "quantizer": {"name": "bnb", "double_quantization": False}, "shuffle": False,
        "tuner": {"name": "qlora", "targets": ["q_proj"], "freeze_vit": True, "freeze_aligner": True},
    }),
    "trl/sft.yaml": ("sft", [], {
        "dataset": ["trl-lib/Capybara"], "packing": True, "max_length": 1024, "logging_steps": 10, "gradient_checkpointing": True,
        "tuner": {"name": "lora", "rank": 32, "alpha": 16, "dropout": 0.05, "targets": ["q_proj", "v_proj"]},
    }),
    "trl/sft_cli.sh": ("sft", [], {
        "val_dataset": [{"name": "trl-lib/Capybara", "split": "test"}], "eval_steps": 100, "learning_rate": 2e-5, "packing": True,
    }),
    "trl/sft_script_zero2.sh": ("sft", [], {
        "parallel": {"name": "zero2"}, "processes": 4, "attention": "flash_attention_2", "dtype": "bfloat16", "output": "out",
        "tuner": {"name": "qlora", "rank": 16, "alpha": 16, "dropout": 0.05, "targets": "all-linear"},
        "quantizer": {"name": "bnb", "double_quantization": False},
    }),
    "trl/dpo.sh": ("dpo", [], {"beta": 0.2, "loss_type": ["ipo"], "max_steps": 1000, "gradient_checkpointing": False}),
    "trl/grpo.sh": ("grpo", [], {
        "rollout": {"name": "vllm", "options": {"gpu_memory_utilization": 0.4}}, "reward_funcs": ["accuracy", "rewards.py:near"],
        "max_length": 200, "truncation": "left", "max_completion_length": 512, "importance_sampling_correction": "sequence_mask",
    }),
    "trl/text_field.yaml": ("pretrain", [], {"dataset": ["stanfordnlp/imdb"], "max_length": 512, "dtype": "bfloat16"}),
    "trl/mixture_missing.yaml": ("sft", ["moon_phase"], {
        "gradient_checkpointing": True, "activation_offload": True,
        "dataset": ["acme/first", {"name": "acme/second", "subset": "en"}],
    }),
    "ms-swift/lora.sh": ("sft", [], {
        "dataset": ["alpaca-en-demo#500", {"name": "identity#500", "model_name": "moon-robot", "model_author": "moon"}],
        "gradient_accumulation_steps": 16, "optimizer": {"weight_decay": 0.1, "beta2": 0.95}, "truncation": "drop",
        "tuner": {"name": "lora", "rank": 8, "alpha": 32, "targets": "all-linear"},
    }),
    "ms-swift/multi_gpu.sh": ("sft", [], {
        "model": "acme/moon-7b", "processes": 4, "parallel": {"name": "zero3"}, "attention": "flash_attention_2", "epochs": 3.0,
        "gradient_accumulation_steps": 4, "truncation": "drop", "validation_ratio": 0.01, "tuner": {"name": "full"}, "warmup_ratio": 0.05,
    }),
    "ms-swift/two_commands.sh": ("pretrain", [], {"dataset": ["wiki-demo"], "max_steps": 100, "learning_rate": 1e-5}),
    "ms-swift/megatron_missing.sh": ("sft", ["external_plugins"], {
        "gradient_accumulation_steps": 8, "batch_size": 1, "learning_rate": 1e-5, "gradient_checkpointing": True, "processes": 4,
        "parallel": {"name": "megatron", "tensor": 2}, "output": "output/megatron",
    }),
    "unsloth/script.py": ("sft", [], {
        "model": "acme/moon-1b-instruct", "dataset": ["tatsu-lab/alpaca#500"], "max_length": 1024, "max_steps": 60, "seed": 3407,
        "gradient_checkpointing": True, "tuner": {
            "name": "qlora", "rank": 32, "alpha": 64, "dropout": 0, "rslora": False,
            "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    }),
    "unsloth/notebook.ipynb": ("sft", [], {"model": "acme/moon-4b", "tuner": {"name": "full"}, "dataset": ["rows.jsonl"], "epochs": 2}),
    "training-arguments/arguments.json": ("sft", [], {
        "neftune_noise_alpha": 5.0,
        "batch_size": 4, "eval_batch_size": 8, "warmup_ratio": 0.1, "max_grad_norm": 0.5, "seed": 7, "save_steps": 250,
        "schedule": "cosine",
        "optimizer": {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.98, "eps": 1e-8},
    }),
    "dataset-info/dataset_info.json": ("sft", [], {"data": {"roles": {"person": "user", "bot": "assistant"}}}),
}  # fmt: skip


def translated(name):
    source = Source.read(FILES / name)
    return importer_for(source).read(source)[0]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_translated(name):
    verb, impossible, settings = EXPECTED[name]
    found = translated(name)
    values = nested(found)
    assert found.verb == verb
    assert sorted(item.key for item in found.impossible) == impossible
    assert {key: values.get(key) for key in settings} == settings


def test_every_file_is_tested():
    assert {str(path.relative_to(FILES)) for path in FILES.rglob("*.*")} == set(EXPECTED)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith((".yaml", ".yml", ".json"))])
def test_no_key_is_lost(name):
    """Each key of the file is the origin of a setting, or stands in one of the lists."""
    found = translated(name)
    origins = " ".join(setting.origin for setting in found.settings.values())
    listed = {item.key.partition(".")[0] for item in (*found.dropped, *found.impossible)}
    values = yaml.safe_load((FILES / name).read_text())
    lost = [key for key in values if key not in origins and key not in listed]
    if name.startswith("dataset-info"):
        lost = [
            key for key in lost if f"{key}." not in str(found.settings["dataset"]) and "acme/talks" not in str(found.settings["dataset"])
        ]
    assert not lost


@pytest.mark.parametrize("name", EXPECTED)
def test_no_secret_is_copied(name):
    found = translated(name)
    written = yaml_file.text(found, "x") + str(found)
    assert not [secret for secret in SECRETS if secret in written]
    for secret in SECRETS:
        if secret in (FILES / name).read_text() and not name.startswith("unsloth"):
            assert any("a secret" in item.reason for item in found.dropped)


@pytest.fixture(scope="module")
def here(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("imports")
    shutil.copytree(tiny_model, folder / "tiny")
    rows = {"query": "What is 6 x 7?", "response": "42"}
    (folder / "chat.jsonl").write_text("".join(json.dumps(rows) + "\n" for _ in range(300)))
    (folder / "rewards.py").write_text("def near(completions, **kwargs):\n    return [0.0] * len(completions)\n\n\nnear_the_moon = near\n")
    (folder / "text.jsonl").write_text('{"text": "The moon is full."}\n' * 300)
    (folder / "pairs.jsonl").write_text('{"prompt": "6 x 7?", "chosen": "42", "rejected": "41"}\n' * 300)
    return folder


MACHINE = {"PARALLEL-058", "TRAIN-048", "NODE-022", "ENV-028", "TRAIN-229"}  # no engine, no accelerator, or no token of a hub
ROWS = {"sft": "chat.jsonl", "pretrain": "text.jsonl"}
TRAINED = [name for name, (verb, _, _) in EXPECTED.items() if verb not in ("merge", "infer") and not name.startswith("dataset-info")]


def shortened(value):
    """A part without options is written as its name."""
    return value["name"] if isinstance(value, dict) and [*value] == ["name"] else value


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_written_resolves(name, here):
    """The written file, with a tiny model and rows in place of the real ones. Engines and devices of this machine may be missing."""
    found = translated(name)
    rows = ROWS.get(found.verb, "pairs.jsonl")
    words = ["--model", "tiny", "--dataset", rows, "--max-length", "64"]
    for path in ("adapter", "hub", "dataset"):
        found.settings.pop(path, None)
    if found.settings.pop("val_dataset", None):
        words += ["--val-dataset", rows]
    sizes = [found.value(f"parallel.{size}", 1) for size in ("tensor", "context", "pipeline")]
    if prod(sizes) > 1 and not found.value("processes"):
        words += ["--processes", str(prod(sizes))]
    out = here / f"{name.replace('/', '-')}.yaml"
    out.write_text(yaml_file.text(found, name))
    values = yaml.safe_load(out.read_text())
    assert values.pop("run") == found.verb
    assert values == {
        key: value["name"] if isinstance(value, dict) and [*value] == ["name"] else value for key, value in nested(found).items()
    }
    code, printed, error = swift_here(here, found.verb, out.name, *words, "--output", f"out-{out.stem}", "--dry-run")
    assert set(re.findall(r"SWIFT-([A-Z]+-[0-9]+)", error)) <= MACHINE
    assert code == 0 or "SWIFT-" in error, error
    if code == 0:
        assert json.loads(printed)["verb"] == found.verb


def test_arithmetic_and_variables_of_a_script(tmp_path):
    (tmp_path / "x.sh").write_text(
        "n=2\nNPROC_PER_NODE=$n swift sft --model acme/moon --gradient_accumulation_steps $(expr 16 / $n) --save_steps $((50 * 2)) "
        "--dataset 'a b.jsonl' --output_dir out_$(date +%s)\n"
    )
    source = Source.read(tmp_path / "x.sh")
    found = importer_for(source).read(source)[0]
    assert found.value("gradient_accumulation_steps") == 8
    assert found.value("save_steps") == 100
    assert found.value("dataset") == ["a b.jsonl"]
    assert found.value("processes") == 2


def test_a_verb_that_is_not_there_is_listed_with_its_keys(tmp_path):
    (tmp_path / "x.sh").write_text("swift rlhf --rlhf_type moonwalk --model acme/moon --num_moons 3\n")
    source = Source.read(tmp_path / "x.sh")
    found = importer_for(source).read(source)[0]
    assert {item.key for item in found.impossible} >= {"verb", "num_moons"}


def _translated(text, name):
    (found,) = importer_for(Source(text), name).read(Source(text))
    assert not found.impossible, found.impossible
    return nested(found)


def test_trackers_and_the_loss_watchdog_of_axolotl():
    text = (
        "base_model: acme/moon\ndatasets: [{path: rows.jsonl, type: alpaca}]\nwandb_project: moon\nwandb_name: first\nuse_mlflow: false\n"
    )
    found = _translated(
        text + "loss_watchdog_threshold: 5.0\nloss_watchdog_patience: 4\nsaves_per_epoch: 2\nmicro_batch_size: 1\n", "axolotl"
    )
    watchdog = {"name": "loss-watchdog", "threshold": 5.0, "patience": 4}
    assert found["callbacks"] == [{"name": "wandb", "project": "moon", "run_name": "first"}, watchdog]
    assert found["saves_per_epoch"] == 2


def test_optimizers_and_losses_of_llama_factory():
    text = "model_name_or_path: acme/moon\ndataset: rows\nstage: sft\nfinetuning_type: full\ntemplate: qwen3\n"
    found = _translated(text + "use_galore: true\ngalore_rank: 64\ngalore_scale: 2.0\nuse_dft_loss: true\n", "llama-factory")
    assert {key: found["optimizer"][key] for key in ("name", "rank", "scale")} == {"name": "galore", "rank": 64, "scale": 2.0}
    assert found["loss_type"] == "dft"
