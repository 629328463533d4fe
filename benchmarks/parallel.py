"""Training over several processes: speed against the ideal, memory against the formula, checkpoints, and what our loop costs.

    python benchmarks/parallel.py [--strategies ddp fsdp] [--processes 1 2] [--steps 6] [--rounds 3] [--layers 6] [--hidden 320]

The model is a random Llama, trained whole in float32 with AdamW on rows of 200 to 460 tokens, eight a step over all processes, each with
one thread. `bare` is a loop of torch alone in one process: the same model, micro-batches and loss, nothing else. The first step is not
counted. Tokens a CPU-second are over the CPU time of all processes, so that ideal is what one process does, and `of one` is 1. What our
layer costs is what a round's ddp in one process takes beyond the round's `bare`. Rounds are interleaved: every side in turn, then again.

Memory is what the process that held most has held at most while it trained, beyond what it held before; the formula counts weights,
gradients, and AdamW's state (of ZeRO with its copy of the weights), each whole or cut over the processes, and neither activations nor the
block that is whole at a time. What a process imports meanwhile, about 0.1 GB, is in it, so that it tells something of large models only.
A checkpoint's time and size are of `state/` and `model/`.

ZeRO needs an interpreter with DeepSpeed: DS_ACCELERATOR=cpu python benchmarks/parallel.py --strategies ddp fsdp zero2 zero3
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

ROWS_A_STEP = 8
FLOAT32 = 4
WHOLE = {"ddp": 4, "fsdp": 0, "zero1": 2, "zero2": 1, "zero3": 0}  # floats a weight that each process holds: weight, gradient, two means
CUT = {"ddp": 0, "fsdp": 4, "zero1": 3, "zero2": 4, "zero3": 5}  # and those of which it holds its part


def write_model(folder: Path, layers: int, hidden: int) -> Path:
    """A random Llama with the tokenizer of the tiny test model."""
    from swift_testing.rig import tiny_tokenizer, write_tiny_model
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    write_tiny_model(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 32, num_key_value_heads=hidden // 64, max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def run_of(model: Path, rows: Path, strategy: str, processes: int, steps: int) -> Any:
    """The training that every side does."""
    from swift_train.testing import training_run

    return training_run(
        model, rows, task="pretrain", tuner="full", parallel=strategy, batch_size=1, gradient_accumulation_steps=ROWS_A_STEP // processes,
        max_steps=steps, save_steps=steps, learning_rate=1e-4, schedule="constant",
    )  # fmt: skip


def ours(run: Any, folder: Path) -> dict[str, Any]:
    """In each process: train, and measure the steps and the checkpoint."""
    from swift_train.checkpoints import Checkpoints
    from swift_train.job import train
    from swift_train.testing import Recorder, memory_grown

    from swift_core.system.paths import size_of

    marks: list[tuple[float, int]] = []
    saves: list[float] = []
    save = Checkpoints.save

    class Timed(Recorder):
        def metric(self, step: int, **values: Any) -> None:
            marks.append((time.process_time(), values.get("tokens", 0)))

    def timed_save(self: Checkpoints, *args: Any) -> Path:
        began = time.perf_counter()
        path = save(self, *args)
        saves.append(time.perf_counter() - began)
        return path

    Checkpoints.save = timed_save  # type: ignore[method-assign]
    folder.mkdir(parents=True, exist_ok=True)
    grown = memory_grown()
    train(run, Timed(folder))
    size = size_of(folder / "checkpoints")
    return {
        "cpu": marks[-1][0] - marks[0][0],
        "tokens": sum(tokens for _, tokens in marks[1:]),
        "grown": grown(),
        "save_s": saves[0],
        "save_mb": size / 1e6,
        "proof": json.loads((folder / "parallel.json").read_text()),
    }


def bare(run: Any, folder: Path) -> dict[str, Any]:
    """torch alone: the loop that one would write by hand, over micro-batches made before the clock starts."""
    import torch
    from swift_train.batches import collate
    from swift_train.build import load_base
    from swift_train.job import load_rows
    from swift_train.row_groups import split_rows
    from swift_train.sampler import make_sampler
    from swift_train.testing import Recorder

    folder.mkdir(parents=True, exist_ok=True)
    task = run.part("task").build()
    samples, _ = load_rows(run, task, load_base(run, "meta"), Recorder(folder))
    sampler = make_sampler(samples, ROWS_A_STEP, task.options, 512)
    steps = []
    for index in range(task.options.max_steps):
        _, rows = sampler.step(index)
        pieces = split_rows(rows, samples.lengths, rank=0, ranks=1, max_rows=1, max_tokens=512)
        steps.append([collate(samples, piece) for piece in pieces])
    model = load_base(run).model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)
    began, tokens = 0.0, 0
    for index, micros in enumerate(steps):
        if index == 1:
            began = time.process_time()
        weight = 1 / sum(len(micro.labels) for micro in micros)
        for micro in micros:
            (task.loss(task.forward(model, micro), micro) * weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(micro.input_ids.numel() for micro in micros) if index else 0
    return {"cpu": time.process_time() - began, "tokens": tokens}


def main() -> None:
    """Measure every side in turn, round after round, and print the medians."""
    from swift_train.testing import on_ranks, write_rows

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", default=["ddp", "fsdp"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    for name, default in (("steps", 6), ("rounds", 3), ("layers", 6), ("hidden", 320)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    sides = [("bare", 1), *((strategy, count) for strategy in args.strategies for count in args.processes)]
    found: dict[tuple[str, int], list[list[dict[str, Any]]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        model = write_model(folder / "model", args.layers, args.hidden)
        texts = [{"text": "word " * (40 + 13 * (number % 5))} for number in range(ROWS_A_STEP * args.steps)]
        rows = write_rows(folder / "rows.jsonl", texts)
        for attempt in range(args.rounds):
            for name, count in sides:
                run = run_of(model, rows, "ddp" if name == "bare" else name, count, args.steps)
                work = partial(bare if name == "bare" else ours, run, folder / f"{name}-{count}-{attempt}")
                found[name, count].append(on_ranks(count, work, timeout=600))
    show(found)


def show(found: dict[tuple[str, int], list[list[dict[str, Any]]]]) -> None:
    """A line a side, and what our layer costs."""
    speed = {side: [_per_cpu_second(ranks) for ranks in rounds] for side, rounds in found.items()}
    heads = ["strategy", "processes", "tokens a CPU-second", "of one", "of bare", "weights, MB", "by the formula", "memory, MB"]
    print(f"| {' | '.join([*heads, 'by the formula', 'checkpoint, s', 'MB'])} |")
    print("|" + "---|" * 11)
    for (name, count), rounds in found.items():
        of_one = f"{_ratio(speed[name, count], speed[name, 1]):.2f}" if (name, 1) in speed else ""
        line = f"| {name} | {count} | {statistics.median(speed[name, count]):.0f} | {of_one} "
        line += f"| {_ratio(speed[name, count], speed['bare', 1]):.2f} |"
        if name != "bare":
            most = statistics.median(max(rank["grown"] for rank in ranks) for ranks in rounds)
            proof, weights = rounds[0][0]["proof"], rounds[0][0]["proof"]["model_bytes"] / (1 if WHOLE[name] else count)
            held = proof["trainable"] * FLOAT32 * (WHOLE[name] + CUT[name] / count)
            line += f" {proof['max_weight_bytes'] / 1e6:.1f} | {weights / 1e6:.1f} |"
            seconds = statistics.median(ranks[0]["save_s"] for ranks in rounds)
            line += f" {most / 1e6:.0f} | {held / 1e6:.0f} | {seconds:.2f} | {rounds[0][0]['save_mb']:.0f} |"
        else:
            line += " | | | | | |"
        print(line)
    if ("ddp", 1) in speed:
        print(f"\nOur layer over the bare loop: {100 * (_ratio(speed['bare', 1], speed['ddp', 1]) - 1):+.1f} % of CPU time")


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds of one side's speed by another's of the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def _per_cpu_second(ranks: list[dict[str, Any]]) -> float:
    return ranks[0]["tokens"] / sum(rank["cpu"] for rank in ranks)


if __name__ == "__main__":
    main()
