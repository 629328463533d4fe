"""An evaluator through `swift eval` against the same evaluator called by hand, on a server that takes a fixed time.

    python benchmarks/eval.py [--evaluators evalscope lm-eval inspect] [--items 300] [--seconds 0.1] [--concurrency 1 16] [--rounds 3]

The server answers each request after `--seconds`, so that what is measured is what the evaluator and swift add. The rate is taken at the
server, from the first request to the last answer. On a busy machine rates say little, CPU seconds more: each side is run with all items
and with a sixth of them, and the difference is the CPU time of an item, of the command with all its processes. What swift adds to an item
is also given as a share of the time that the server takes, which is its overhead on the rate if the processor has nothing else to do. Both
sides take turns, and the medians over the rounds count. The environments of `swift env create` must be there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from swift_evaluate import prompt_hash
from swift_evaluate.prepare import prepare
from swift_evaluate.records import Journal
from swift_evaluate.roles import Item
from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import Request

from swift_core.environments import isolated_entries, python_for
from swift_core.plugins import registry
from swift_core.runs import Report

BY_HAND = {
    "evalscope": """
import sys
from evalscope import TaskConfig, run_task
if __name__ == "__main__":
    url, data, out, many = sys.argv[1:]
    run_task(TaskConfig(model="fake", eval_type="openai_api", api_url=url, api_key="EMPTY", datasets=["gsm8k"], work_dir=out,
        dataset_args={"gsm8k": {"dataset_id": data, "few_shot_num": 0}}, eval_batch_size=int(many), ignore_errors=True,
        generation_config={"temperature": 0.0, "seed": 0}))
""",
    "inspect": """
import json, pathlib, sys
from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate
url, data, out, many = sys.argv[1:]
rows = [json.loads(line) for line in (pathlib.Path(data) / "main" / "test.jsonl").read_text().splitlines()]
samples = [Sample(id=row["id"], input=row["question"], target=row["answer"].rpartition("#### ")[2]) for row in rows]
eval(Task(dataset=MemoryDataset(samples), solver=generate(), scorer=match(numeric=True)),
    model=get_model("openai-api/swift/fake", base_url=url, api_key="EMPTY"), log_dir=out, display="none", max_connections=int(many),
    max_samples=int(many), fail_on_error=False)
""",
    "lm-eval": """
import json, pathlib, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
url, data, out, many = sys.argv[1:]
manager = TaskManager()
task = pathlib.Path(out) / "gsm8k.yaml"
task.write_text(json.dumps({"include": str(manager.task_index["gsm8k"].yaml_path), "task": "gsm8k", "dataset_path": data, "num_fewshot": 0,
    "training_split": None, "fewshot_split": None}))
settings = {"model": "fake", "base_url": url + "/chat/completions", "num_concurrent": int(many)}
simple_evaluate(model="local-chat-completions", model_args=settings,
    tasks=[str(task)], apply_chat_template=True, bootstrap_iters=0, task_manager=manager)
""",
}


class SlowServer(FakeEngine):
    """Answers after a fixed time, and notes when."""

    def __init__(self, seconds: float) -> None:
        super().__init__("The answer is 5.\n#### 5")
        self.times: list[float] = []
        plain = self.answer

        def answer(handler: Request) -> None:
            if handler.asked["path"].endswith("/chat/completions"):
                begin = time.perf_counter()
                time.sleep(seconds)
                plain(handler)
                self.times += [begin, time.perf_counter()]
            else:
                plain(handler)

        self.answer = answer


@dataclass(frozen=True, slots=True)
class Measured:
    """A run of a command."""

    rate: float  # items a minute, at the server
    cpu: float  # CPU seconds of the command and its processes


def measured(words: list[str], server: SlowServer, items: int, cache: Path) -> Measured:
    """Run a command."""
    server.times.clear()
    # with a cache that earlier runs have used, the `datasets` library may give their rows for another folder of the same name
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(cache)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or len(server.times) != 2 * items:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-3000:]}\n{len(server.times) // 2} requests")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(60 * items / (max(server.times) - min(server.times)), cpu)


def prepared(items: int, folder: Path) -> str:
    """Return a prepared benchmark of sums."""
    folder.mkdir()
    rows = [{"question": f"What is {number} + {number}?", "answer": f"#### {2 * number}"} for number in range(items)]
    (folder / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(prepare("gsm8k", [folder / "test.jsonl"], folder / "gsm8k").folder)


def commands(name: str, python: str, url: str, folder: Path, *, data: str, many: int) -> dict[str, list[str]]:
    """Return the command of each side; what they write goes into `folder`."""
    (folder / "by_hand.py").write_text(BY_HAND[name])
    swift = [sys.executable, "-m", "swift_core.cli", "eval", "--url", url, "--evaluator", name, "--tasks", "gsm8k"]
    more = ["--data", json.dumps({"gsm8k": data}), "--concurrency", str(many), "--runs", str(folder / "runs")]
    return {"by hand": [python, str(folder / "by_hand.py"), url, data, str(folder), str(many)], "swift": [*swift, *more]}


def compared(name: str, many: int, server: SlowServer, *, args: argparse.Namespace, folder: Path, data: dict[int, str]) -> str:
    """Return the row of an evaluator at a concurrency; both sides run in turn, and each round gives a ratio of its own."""
    python = python_for(next(entry for entry in isolated_entries(registry()) if entry.spec.name == name), {})
    found: dict[tuple[str, int], list[Measured]] = {}
    for number in range(args.rounds):
        for size, rows in data.items():
            out = folder / f"{name}-{many}-{number}-{size}"
            out.mkdir()
            for side, words in commands(name, python, server.url, out, data=rows, many=many).items():
                found.setdefault((side, size), []).append(measured(words, server, size, out / "cache"))
    few, all_ = sorted(data)
    item = {
        side: [(whole.cpu - part.cpu) / (all_ - few) for whole, part in zip(found[side, all_], found[side, few], strict=True)]
        for side in ("swift", "by hand")
    }
    slower = [hand.rate / ours.rate - 1 for ours, hand in zip(found["swift", all_], found["by hand", all_], strict=True)]
    start = {side: median(part.cpu - few * each for part, each in zip(found[side, few], item[side], strict=True)) for side in item}
    more = median(ours - hand for ours, hand in zip(item["swift"], item["by hand"], strict=True))
    cells = [name, str(many), *(f"{median(each.rate for each in found[side, all_]):.0f}" for side in item), f"{median(slower):+.1%}"]
    cells += [*(f"{1000 * median(item[side]):.1f}" for side in item), f"{more * many / args.seconds:+.1%}"]
    cells += [f"{start[side]:.1f}" for side in item]
    return f"| {' | '.join(cells)} |"


def recorded(count: int = 3000) -> float:
    """Return the CPU milliseconds in which swift records an item: hash of the prompt, line of items.jsonl, progress."""
    prompt = [{"role": "user", "content": "Solve the problem step by step. " * 20}]
    shared = {"task": "gsm8k", "question": "What is 1 + 1?", "output": "The answer is 2. " * 20, "expected": "2", "scores": {"acc": 1.0}}
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as channel,
        Journal(Report(Path(folder), channel)) as journal,
    ):
        journal.expect(count)
        begin = time.process_time()
        for number in range(count):
            journal.record(Item(id=str(number), prompt=prompt_hash(prompt), **shared))
        return 1000 * (time.process_time() - begin) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluators", nargs="*", default=sorted(BY_HAND))
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--concurrency", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"recording an item: {recorded():.3f} CPU ms\n", flush=True)
    head = ["evaluator", "concurrency", "items a minute", "by hand", "slower", "CPU ms an item", "by hand", "swift adds", "start, CPU s"]
    head.append("by hand")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch, SlowServer(args.seconds) as server:
        folder = Path(scratch)
        data = {size: prepared(size, folder / f"data-{size}") for size in (args.items // 6, args.items)}
        for name in args.evaluators:
            for many in args.concurrency:
                print(compared(name, many, server, args=args, folder=folder, data=data), flush=True)


if __name__ == "__main__":
    main()
