"""Command lines and files as users of ms-swift write them: each resolves, and no option of theirs is dropped without a word."""

from __future__ import annotations

import json
import os
import re
import shlex
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from swift_train import strategy_checks
from swift_train.testing import run_training, training_run

from swift_core.api import resolved
from swift_core.cli import command_for, invoke
from swift_core.contract import UsageError
from swift_core.plugins import engines, plugins, registry, verb_named

TRAINING = """
--model MODEL --tuner_type lora --dataset ROWS#500 --torch_dtype bfloat16 --num_train_epochs 1 --per_device_train_batch_size 1
--per_device_eval_batch_size 1 --learning_rate 1e-4 --lora_rank 8 --lora_alpha 32 --target_modules all-linear
--gradient_accumulation_steps 16 --eval_steps 50 --save_steps 50 --save_total_limit 2 --logging_steps 5 --max_length 2048
--output_dir output --warmup_ratio 0.05 --dataloader_num_workers 4
"""

LINES = [
    # sft
    f"sft {TRAINING}",
    f"sft {TRAINING} --dataset_num_proc 4 --load_from_cache_file true --split_dataset_ratio 0.01",
    f"sft {TRAINING} --system 'You are a helpful assistant.'",
    f"sft {TRAINING} --deepspeed zero2 --gradient_checkpointing true --gradient_checkpointing_kwargs '{{\"use_reentrant\": false}}'",
    f"sft {TRAINING} --deepspeed zero3 --use_liger_kernel true --packing true --padding_free true",
    f"sft {TRAINING} --freeze_vit true --freeze_aligner true --freeze_llm false --vit_gradient_checkpointing false",
    f"sft {TRAINING} --lazy_tokenize true --dataloader_drop_last true --dataset_shuffle true",
    f"sft {TRAINING} --save_only_model true --report_to none --logging_dir logs --add_version false",
    f"sft {TRAINING} --truncation_strategy delete --lr_scheduler_type constant_with_warmup --warmup_steps 10",
    f"sft {TRAINING} --lr_scheduler_type cosine_with_min_lr --min_lr 1e-6 --weight_decay 0.1 --adam_beta2 0.95",
    f"sft {TRAINING} --bf16 true --fp16 false --label_names labels --ddp_find_unused_parameters false --use_logits_to_keep true",
    f"sft {TRAINING} --optim adamw_torch --max_grad_norm 1.0 --seed 42 --data_seed 42 --overwrite_output_dir true",
    f"sft {TRAINING} --max_steps -1 --modules_to_save embed_tokens lm_head --lora_dropout 0.05 --use_rslora true",
    "sft --model MODEL --dataset ROWS --eval_strategy epoch --save_strategy epoch --metric_for_best_model loss --greater_is_better false",
    f"sft {TRAINING} --enable_thinking false --use_chat_template true --task_type causal_lm",
    f"sft {TRAINING} --model_type qwen3_emb --max_epochs 2",
    f"sft {TRAINING} --deepspeed zero0 --tuner_backend peft",
    f"sft {TRAINING} --model_name swift-robot --model_author swift --experts_impl grouped_mm",
    "sft --model MODEL --dataset ROWS --attn_impl flash_attn --sequence_parallel_size 2 --nproc_per_node 2 --tuner_type full",
    "sft --model MODEL --dataset PAIRS --task_type seq_cls --num_labels 2 --use_chat_template false --truncation_strategy right",
    "sft --model MODEL --dataset ROWS --task_type seq_cls --num_labels 2",
    f"sft {TRAINING} --streaming false --model_type llama --load_in_4bit true",
    "sft --model MODEL --tuner_type full --dataset ROWS --learning_rate 1e-5 --deepspeed zero3_offload --warmup_steps 0.05",
    "sft --model MODEL --train_type full --dataset ROWS ROWS --val_dataset ROWS --trust_remote_code true --dataloader_pin_memory true",
    "sft --model MODEL --train_type dora --dataset ROWS --lora_rank 16 --init_weights gaussian",
    "sft --model MODEL --tuner_type adalora --dataset ROWS --adalora_target_r 8 --adalora_init_r 12",
    "sft --model MODEL --tuner_type lora --quant_method bnb --quant_bits 4 --dataset ROWS --bnb_4bit_quant_type nf4",
    "sft --model MODEL --dataset ROWS --tuner_type llamapro --llamapro_num_new_blocks 2 --llamapro_num_groups 1",
    "sft --model MODEL --dataset ROWS --tuner_type adapter --adapter_length 64 --adapter_act relu",
    "sft --model MODEL --dataset ROWS --tuner_type reft --reft_rank 2 --reft_layers 0 1 --reft_intervention_type LoreftIntervention",
    "sft --model MODEL --dataset ROWS --tuner_type longlora --lora_rank 8 --lora_alpha 32",
    "sft --model MODEL --dataset ROWS --init_weights lora-ga --lora_ga_batch_size 2 --lora_ga_iters 2 --lora_ga_max_length 1024 "
    "--lora_ga_direction ArB2r --lora_ga_scale gd --lora_ga_stable_gamma 16",
    "sft --model MODEL --dataset ROWS --loss_scale all --loss_type loss_scale --model_kwargs '{\"max_pixels\": 1003520}'",
    "sft --model MODEL --dataset ROWS --lorap_lr_ratio 10 --resume_only_model false --ignore_data_skip false",
    "sft --model MODEL --dataset ROWS --fsdp fsdp2 --tuner_type full",
    "sft --model MODEL --dataset ROWS --sequence_parallel_size 2 --nproc_per_node 2 --tuner_type full",
    "sft --model MODEL --dataset swift/self-cognition#500 --model_name swift-robot --model_author swift",
    "sft --model_id_or_path MODEL --sft_type lora --dataset ROWS --output_dir output --eval_steps -1 --save_total_limit -1",
    "sft --adapters ADAPTER --model MODEL --dataset ROWS --resume_from_checkpoint '' --strict true",
    # pt
    "pt --model MODEL --tuner_type full --dataset TEXT --torch_dtype bfloat16 --max_length 8192 --streaming true --max_steps 10",
    "pt --model MODEL --tuner_type lora --dataset TEXT --lazy_tokenize false --dataset_num_proc 8 --save_only_model true --deepspeed zero1",
    # rlhf
    "rlhf --rlhf_type dpo --model MODEL --tuner_type lora --dataset PAIRS --beta 0.1 --rpo_alpha 0.1 --loss_type sigmoid",
    "rlhf --rlhf_type dpo --model MODEL --dataset PAIRS --loss_type sigmoid sft --loss_weights 1 0.1 --label_smoothing 0.1",
    "rlhf --rlhf_type orpo --model MODEL --tuner_type full --dataset PAIRS --beta 0.1 --dataset_num_proc 4",
    "rlhf --rlhf_type rm --model MODEL --dataset PAIRS --center_rewards_coefficient 0.01",
    "seq-cls --model MODEL --dataset PAIRS --num_labels 3 --problem_type multi_label_classification",
    "rlhf --rlhf_type cpo --model MODEL --dataset PAIRS --cpo_alpha 1.0 --loss_type simpo --simpo_gamma 0.5",
    # infer
    "infer --adapters ADAPTER --stream true --temperature 0 --max_new_tokens 2048",
    "infer --model MODEL --stream true --infer_backend pt --max_new_tokens 2048 --temperature 0.7 --top_p 0.9 --top_k 20 --stream true",
    "infer --adapters ADAPTER --infer_backend vllm --vllm_max_model_len 8192 --stream true --vllm_enable_lora true --vllm_max_lora_rank 16",
    "infer --model MODEL --adapters ADAPTER --merge_lora true --infer_backend vllm --vllm_gpu_memory_utilization 0.9",
    "infer --adapters ADAPTER --val_dataset ROWS --max_batch_size 16 --result_path infer.jsonl --write_batch_size 100",
    "infer --model MODEL --infer_backend sglang --val_dataset ROWS#10 --sglang_tp_size 1 --max_new_tokens 512",
    "infer --model MODEL --infer_backend lmdeploy --max_new_tokens 128 --val_dataset ROWS",
    "infer --model MODEL --enable_thinking false --system 'Be brief.' --repetition_penalty 1.1 --stream true",
    "infer --ckpt_dir ADAPTER --load_data_args false --stream false",
    # deploy
    "deploy --model MODEL --infer_backend vllm --served_model_name m --vllm_tensor_parallel_size 1 --max_new_tokens 2048 --temperature 0",
    "deploy --adapters ADAPTER --infer_backend pt --host 127.0.0.1 --port 8001",
    "deploy --adapters one=ADAPTER two=ADAPTER --model MODEL --infer_backend vllm --vllm_enable_lora true --verbose false",
    "deploy --model MODEL --infer_backend vllm --vllm_max_model_len 4096 --max_logprobs 20 --vllm_limit_mm_per_prompt '{\"image\": 5}'",
    "deploy --model MODEL --infer_backend sglang --sglang_tp_size 2 --served_model_name m --log_interval 20",
    "deploy --model MODEL --infer_backend lmdeploy --lmdeploy_tp 1",
    "deploy --model MODEL --vllm_tensor_parallel_size 4 --vllm_gpu_memory_utilization 0.9 --agent_template hermes",
    "deploy --model MODEL --max_logprobs 64",
    "infer --model MODEL --val_dataset ROWS --metric acc --use_chat_template false --top_k 20",
    "export --model MODEL --dataset ROWS --quant_method gptq_v2 --quant_bits 4 --group_size 32 --output_dir out",
    "deploy --adapters ADAPTER --merge_lora true --infer_backend pt --use_hf true",
    # export and merge
    "export --adapters ADAPTER --merge_lora true",
    "export --adapters ADAPTER --merge_lora true --output_dir merged --exist_ok true --safe_serialization true",
    "merge-lora --adapters ADAPTER",
    "export --model MODEL --quant_method gptq --quant_bits 4 --dataset ROWS --quant_n_samples 256 --quant_batch_size 1 --group_size 32",
    "export --model MODEL --quant_method awq --quant_bits 4 --dataset ROWS#100 --max_length 2048 --output_dir awq --group_size 32",
    "export --model MODEL --quant_method bnb --quant_bits 4 --bnb_4bit_quant_type nf4 --bnb_4bit_use_double_quant true --output_dir bnb",
    "export --model MODEL --quant_method fp8 --output_dir fp8 --load_data_args false",
    "export --model MODEL --to_ollama true --output_dir ollama",
    "export --model MODEL --torch_dtype bfloat16 --output_dir half --push_to_hub false",
    "export --model MODEL --to_mcore true --torch_dtype bfloat16 --output_dir mcore --test_convert_precision true",
    "export --model MODEL --dataset ROWS --dataset_num_proc 8 --split_dataset_ratio 0.01 --to_cached_dataset true --output_dir cached",
    "export --model MODEL --dataset PAIRS --to_cached_dataset true --template_mode rlhf --output_dir cached",
    "export --model MODEL --dataset TEXT --to_cached_dataset true --use_chat_template false --loss_scale all --output_dir cached",
    "export --mcore_model MODEL --to_hf true --output_dir hf",
    # eval
    "eval --model MODEL --eval_backend Native --infer_backend pt --eval_limit 10 --eval_dataset gsm8k --eval_num_proc 4 --temperature 0",
    "eval --model MODEL --eval_backend Native --infer_backend vllm --eval_dataset gsm8k --eval_dataset_args '{\"gsm8k\": {}}' "
    "--enable_thinking false --merge_lora true --extra_eval_args '{\"ignore_errors\": true}'",
    "eval --adapters ADAPTER --eval_backend Native --infer_backend vllm --eval_limit 100 --eval_dataset arc gsm8k --max_new_tokens 512",
]
ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
_FLAG = re.compile(r"--[A-Za-z]\w*")


@pytest.fixture
def project(tmp_path, tiny_model, monkeypatch) -> dict[str, str]:
    """Stand-ins for what the lines name, in a folder of their own, with every engine pretended to be installed."""
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(ROW) + "\n")
    (tmp_path / "text.jsonl").write_text('{"text": "Once upon a time."}\n')
    answers = {"prompt": [ROW["messages"][0]], "chosen": [ROW["messages"][1]], "rejected": [{"role": "assistant", "content": "No."}]}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(answers) + "\n")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "base_model_name_or_path": str(tiny_model)}))
    (adapter / "adapter_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")  # a header, and no tensors
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engines, "device_kind", lambda: "cuda")
    for module in (engines, strategy_checks):
        monkeypatch.setattr(module, "engine_state", lambda *_: engines.EngineState(True))
    return {"MODEL": str(tiny_model), "ADAPTER": str(adapter), "ROWS": "rows.jsonl", "TEXT": "text.jsonl", "PAIRS": "pairs.jsonl"}


def _words(line: str, names: dict[str, str]) -> list[str]:
    return shlex.split(re.sub("|".join(names), lambda found: names[found[0]], line))


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.split())[:60])
def test_it_resolves_and_says_what_is_different(line, project, capsys):
    words = [*_words(line, project), "--dry-run"]
    assert invoke(words) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    run = json.loads(shown.out)
    own = {name for verb in {words[0], run["verb"]} for name in _own_names(verb, words[1:])}
    for flag in _FLAG.findall(line):
        assert flag.replace("_", "-") in own or flag in shown.err, f"{flag} is not mentioned"


def _own_names(verb: str, words: list[str]) -> set[str]:
    command = command_for(verb_named(verb))
    _, known = command.prepare(words)
    return {f"--{name}" for name in known.flags}


YAML = """
model: {MODEL}
dataset: rows.jsonl
tuner_type: lora
lora_rank: 4
learning_rate: 1e-4
deepspeed: ds.json
num_train_epochs: 2
dataloader_num_workers: 4
trust_remote_code: true
bf16: true
use_hf: false
parallel_options: 1
"""


def test_their_names_in_a_file(project, capsys, tmp_path):
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 2}}')
    (tmp_path / "f.yaml").write_text(YAML.replace("parallel_options: 1\n", "").format(**project))
    assert invoke(["sft", "f.yaml", "--lora_alpha", "8", "--dry-run"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    run = json.loads(shown.out)
    assert {key: run["parts"]["tuner"]["options"][key] for key in ("rank", "alpha")} == {"rank": 4, "alpha": 8}
    assert run["parts"]["parallel"]["name"] == "deepspeed"
    assert run["parts"]["task"]["options"]["epochs"] == 2
    assert (run["options"]["dtype"], run["options"]["hub"], run["options"]["trust_remote_code"]) == ("bfloat16", "ms", False)
    for line, key in ((4, "tuner_type"), (5, "lora_rank"), (7, "deepspeed"), (8, "num_train_epochs"), (9, "dataloader_num_workers")):
        assert f"f.yaml:{line}: {key} " in shown.err


@pytest.mark.parametrize(
    ("text", "line"),
    [("lora_rank: 8\ntuner: {name: lora, rank: 4}", 3), ("num_train_epochs: 2\nepochs: 1", 3), ("lora_rank: eight", 3)],
)
def test_errors_in_a_file_have_the_line_of_the_name_that_was_written(project, capsys, tmp_path, text, line):
    (tmp_path / "f.yaml").write_text(f"model: {project['MODEL']}\ndataset: rows.jsonl\n{text}\n")
    assert invoke(["sft", "f.yaml", "--dry-run"]) == 2
    assert f"f.yaml:{line}" in capsys.readouterr().err


def test_their_names_within_a_part(project, capsys, tmp_path):
    (tmp_path / "f.yaml").write_text(f"model: {project['MODEL']}\ndataset: rows.jsonl\ntuner: {{name: lora, lora_rank: 4}}\n")
    assert invoke(["sft", "f.yaml", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["tuner"]["options"]["rank"] == 4


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        ("--lr_scheduler_type constant_with_warmup", "task.schedule", "constant"),
        ("--lr_scheduler_type cosine_with_min_lr --min_lr 1e-6", "task.min_learning_rate", 1e-6),
        ("--warmup_steps 0.1", "task.warmup_steps", 0.1),
        ("--max_steps -1", "task.max_steps", None),
        ("--save_total_limit -1", "task.save_total_limit", None),
        ("--truncation_strategy delete", "task.truncation", "drop"),
        ("--weight_decay 0.3", "optimizer.weight_decay", 0.3),
        ("--modules_to_save lm_head", "tuner.modules_to_save", ["lm_head"]),
        ("--load_in_8bit true", "quantizer.bits", 8),
        ("--enable_thinking false", "task.template_variables", {"enable_thinking": False}),
        ("--loss_scale ignore_empty_think", "task.mask.weights", "empty-think"),
        ("--loss_scale last_round+hermes", "task.mask.weights", "hermes"),
        ("--loss_scale last_round+hermes", "task.mask.turns", "last"),
        ("--early_stop_interval 5 --val_dataset ROWS --eval_steps 2", "callback.early-stopping.patience", 5),
        ("--eval_use_evalscope --eval_dataset gsm8k arc --eval_limit 10", "callback.evaluate.tasks", ["gsm8k", "arc"]),
    ],
)
def test_values_are_read_as_they_are_meant(project, capsys, words, path, value):
    assert invoke([*_words(f"sft --model MODEL --dataset ROWS {words}", project), "--dry-run"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)["parts"]
    part, _, option = path.partition(".")
    if part == "callback":
        name, _, option = option.partition(".")
        part = f"callback.{name}"
    assert reduce(getitem, option.split("."), found[part]["options"]) == value


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("sft --model MODEL --dataset ROWS --freeze_vit false", "image encoder"),
        ("sft --model MODEL --dataset ROWS --task_type decision", "swift seq-cls"),
        ("sft --model MODEL --dataset ROWS --tuner_type dummy", "nothing would be trained"),
        ("sft --model MODEL --dataset ROWS --optim muonclip", "--optimizer muon"),
        ("export --model MODEL --quant_method hqq --output_dir out", "gptq"),
        ("sft --model MODEL --dataset ROWS --tuner_type full --lora_rank 8", "--tuner.rank"),
        ("sft --model MODEL --dataset ROWS --external_plugins x.py", "--external_plugins"),
        ("infer --adapters ADAPTER --load_data_args true", "--val_dataset"),
        ("deploy --model MODEL --temperature 0", "each request"),
        ("sft --model MODEL --dataset ROWS --router_aux_loss_coef 1e-3", "no experts"),
        ("sft --model MODEL --dataset ROWS --eval_use_evalscope true", "--eval_dataset"),
        ("eval --model MODEL --eval_backend Native --eval_dataset gsm8k --extra_eval_args '{\"x\": 1}'", "--dataset-args"),
    ],
)
def test_what_is_refused_is_answered_with_the_way(project, capsys, words, says):
    assert invoke([*_words(words, project), "--dry-run"]) == 2
    assert says in capsys.readouterr().err


def test_their_names_in_python(project):
    asked = {"model": project["MODEL"], "dataset": "rows.jsonl", "lora_rank": 4, "bf16": True, "truncation_strategy": "delete"}
    with pytest.warns(UserWarning, match="dataloader_num_workers has no effect"):
        run = resolved("sft", {**asked, "dataloader_num_workers": 4})
    assert (run.options["dtype"], run.parts["tuner"].options["rank"]) == ("bfloat16", 4)
    assert run.parts["task"].options["truncation"] == "drop"
    with pytest.raises(UsageError, match="external_plugins") as refused:
        resolved("sft", {**asked, "external_plugins": "file.py"})
    assert "--plugin" in refused.value.hint


@pytest.mark.parametrize(
    "words", ["--stream true", "--dataset_num_prok 4", "--num_label 2", "--loss_kind x", "--optim lomo", "--merge_lorra true"]
)
def test_no_suggestion_rather_than_a_wrong_one(project, capsys, words):
    assert invoke([*_words(f"sft --model MODEL --dataset ROWS {words}", project), "--dry-run"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["infer", "serve", "merge", "ask --questions Hi", "export --to safetensors"])
def test_an_adapter_alone_finds_its_base(verb, project, capsys):
    assert invoke([*_words(f"{verb} --adapter ADAPTER", project), "--dry-run"]) == 0, capsys.readouterr().err
    run = json.loads(capsys.readouterr().out)
    assert run["model"]["path"] == project["MODEL"]
    assert [adapter["path"] for adapter in run["adapters"].values()] == [project["ADAPTER"]]


def test_the_first_of_several_adapters_finds_the_base_and_keeps_its_name(project, capsys):
    assert invoke([*_words("serve --adapters one=ADAPTER", project), "--dry-run"]) == 0, capsys.readouterr().err
    assert list(json.loads(capsys.readouterr().out)["adapters"]) == ["one"]


def test_rows_of_the_training_calibrate_a_quantizer(project, capsys, tmp_path):
    """Of a model that a training here wrote, wherever it is; another one is refused."""
    line = "export --model {model} --quant_method gptq --quant_bits 4 --group_size 32 --load_data_args true --output_dir out --dry-run"
    assert invoke(_words(line.format(model="MODEL"), project)) == 2
    assert "training_rows" in capsys.readouterr().err.replace("-", "_")
    run = training_run(Path(project["MODEL"]), tmp_path / "rows.jsonl", tuner="full", max_steps=1)
    run_training(run, tmp_path / "runs/first")
    (tmp_path / "runs/first/run.json").write_text(json.dumps(run.to_json()))
    assert invoke(shlex.split(line.format(model="runs/first/output"))) == 0, capsys.readouterr().err
    resolved_run = json.loads(capsys.readouterr().out)
    assert [each["asked"] for each in resolved_run["datasets"]] == [str(tmp_path / "rows.jsonl")]


def test_a_plugin_of_theirs_is_loaded(project, capsys, tmp_path, monkeypatch):
    """And is named: a task of the file is found by `--task_type`."""
    monkeypatch.delenv("SWIFT_LOCAL_PLUGINS", raising=False)
    (tmp_path / "own_task.py").write_text(
        "from swift_core import hookimpl\nfrom swift_core.contract import Ref, TaskSpec\n\n\n@hookimpl\ndef swift_tasks():\n"
        "    ref = Ref('swift_train.tasks:SftTask')\n    return [TaskSpec(name='own', summary='Train', rows=('chat',), factory=ref,\n"
        "        trainer=Ref('swift_train.job:train'), options=Ref('swift_train.options:SftOptions'))]\n"
    )
    words = _words("sft --model MODEL --dataset ROWS --external_plugins own_task.py --task_type own --dry-run", project)
    try:
        assert invoke(words) == 0, capsys.readouterr().err
    finally:
        os.environ.pop("SWIFT_LOCAL_PLUGINS", None)  # monkeypatch would set it again for the tests that follow
        plugins.cache_clear()
        registry.cache_clear()
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verb"] == "own"
    assert "own_task.py" in shown.err


@pytest.mark.parametrize(("words", "backend"), [("", "vllm"), ("--infer_backend sglang", ""), ("--infer-backend pt", "")])
def test_a_name_that_says_vllm_chooses_it_unless_a_backend_is_named(project, capsys, words, backend):
    code = invoke([*_words(f"infer --model MODEL {words} --vllm_max_model_len 100", project), "--dry-run"])
    shown = capsys.readouterr()
    assert (json.loads(shown.out)["parts"]["backend"]["name"] if code == 0 else "") == backend


def test_variables_of_a_file(project, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTORCH_TEST", raising=False)
    head = f"model: {project['MODEL']}\ndataset: rows.jsonl\nENV:\n  MAX_PIXELS: '1003520'\n  NFRAMES: '12'\n"
    (tmp_path / "f.yaml").write_text(head + "  PYTORCH_TEST: '1'\n  NPROC_PER_NODE: 2\n")
    monkeypatch.setenv("PYTORCH_TEST", "2")
    assert invoke(["sft", "f.yaml", "--dry-run"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    run = json.loads(shown.out)
    assert (run["parts"]["task"]["options"]["media"]["max_pixels"], run["options"]["processes"]) == (1003520, 2)
    assert "NFRAMES=12 has no effect" in shown.err
    assert os.environ["PYTORCH_TEST"] == "2"
    (tmp_path / "f.yaml").write_text(head + "  LD_PRELOAD: x.so\n")
    assert invoke(["sft", "f.yaml", "--dry-run"]) == 2
    assert "LD_PRELOAD" in capsys.readouterr().err
