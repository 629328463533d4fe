"""A line of another tool that is pasted after `swift` is answered with the line to type, and what that is parses here."""

from __future__ import annotations

import shlex

import pytest

from swift_core import UsageError
from tests.here import swift_here

LINES = [
    ("torchrun --nproc_per_node 2 train.py --model m --lora_rank 8", "swift sft --processes 2 --model m --lora_rank 8"),
    ("torchrun --nproc-per-node=4 --nnodes=2 --node_rank=1 --master_addr=a --master_port=2 dpo.py --beta 0.2",
     "NODE_RANK=1 MASTER_ADDR=a MASTER_PORT=2 swift dpo --processes 4 --nodes 2 --beta 0.2"),
    ("torchrun --standalone --nproc_per_node 2 -m swift.cli.pt --model m", "swift pretrain --processes 2 --model m"),
    ("python -m torch.distributed.run --nproc_per_node 2 run_sft.py --model m", "swift sft --processes 2 --model m"),
    ("python3 -m swift.cli.export --model m", "swift export --model m"),
    ("deepspeed --num_gpus 2 train.py --deepspeed ds.json --lora_r 8", "swift sft --processes 2 --deepspeed ds.json --lora_r 8"),
    ("deepspeed train.py --deepspeed ds.json", "swift sft --deepspeed ds.json; for N processes, add --processes N"),
    ("deepspeed --include localhost:0,1 train.py", "swift sft (not translated: --include); for N processes, add --processes N"),
    ("accelerate launch --multi_gpu --num_processes 8 --num_machines 2 --machine_rank 0 train.py --model m",
     "NODE_RANK=0 swift sft --processes 4 --nodes 2 --model m"),
    ("accelerate launch --config_file a.yaml train.py 'two words'",
     "swift sft 'two words' (not translated: --config_file); for N processes, add --processes N"),
    ("accelerate launch --num_processes 2 -m axolotl.cli.train a.yml", "swift sft --processes 2 a.yml"),
    ("src/train.py --stage sft", "swift sft --stage sft; to load the file as a plugin: swift --plugin src/train.py …"),
    ("swift sft --model m", "swift sft --model m"),
    ("NPROC_PER_NODE=2 swift sft --model m", "NPROC_PER_NODE=2 swift sft --model m"),
    ("torchrun --nproc_per_node 2 /opt/bin/swift sft --model m", "swift sft --processes 2 --model m"),
    ("sft.yaml --max_steps 2", "swift run sft.yaml --max_steps 2"),
    ("llamafactory-cli train a.yaml", "swift import a.yaml -o run.yaml; then: swift run run.yaml"),
    ("axolotl train a.yml", "swift import a.yml -o run.yaml; then: swift run run.yaml"),
    ("trl dpo --beta 0.1", "swift dpo --beta 0.1"),
    ("megatron sft --model m", "megatron sft --model m; or with the options of swift: swift sft --parallel megatron …"),
]  # fmt: skip


@pytest.mark.parametrize(("pasted", "typed"), LINES, ids=[pasted for pasted, _ in LINES])
def test_a_pasted_line_is_answered(pasted, typed, tmp_path):
    code, out, err = swift_here(tmp_path, *shlex.split(pasted), env={})
    assert code == 2
    assert not out
    assert f"Type: {typed}\n" in err.replace("\n  ", " ") + "\n"


@pytest.mark.parametrize("words", ["sfft --model m", "torchrunner x.py", "no-such-command"])
def test_other_unknown_commands_are_as_before(words, tmp_path):
    code, _, err = swift_here(tmp_path, *words.split(), env={})
    assert code == 2
    assert "SWIFT-PLUGIN-029" in err


def test_a_function_that_answers_is_any_plugins(distribution, swift):
    source = (
        "from swift_core.contract import UsageError\n"
        "def answer(name, words):\n"
        "    return UsageError('mine', code='ACME-001', hint=f'Type: {name} {len(words)}') if name == 'acme' else None\n"
    )
    distribution("swift-plugin-acme", source, group="swift.foreign_commands", target="swift_plugin_acme:answer")
    done = swift("acme", "run", "--fast")
    assert done.code == 2
    assert "Type: acme 2" in done.err
    assert "[SWIFT-ACME-001]" in done.err
    assert "SWIFT-PLUGIN-029" in swift("acmee").err


def test_one_that_fails_is_named_and_hides_nothing(distribution, swift):
    distribution(
        "swift-plugin-acme", "def answer(name, words):\n    1 / 0\n", group="swift.foreign_commands", target="swift_plugin_acme:answer"
    )
    done = swift("acme")
    assert "swift_plugin_acme:answer of swift-plugin-acme failed: ZeroDivisionError" in done.err
    assert "SWIFT-PLUGIN-029" in done.err


def test_a_command_keeps_its_name():
    from swift_train.launch_lines import answer

    assert answer("sft", ["train.py"]) is None
    assert isinstance(answer("train.py", []), UsageError)
