"""Evaluation: questions per minute against a plain client, and `builtin` perplexity against lm-eval's `hf` on the same texts.

    python benchmarks/builtin_eval.py [--questions 400] [--delay 0.05] [--model FOLDER [--rows ROWS.jsonl] [--length 512] [--rounds 3]]

Questions go to a fake server in this process, which answers each after `--delay` seconds: through `swift_evaluate.ask_all`, which keeps
every item, and through a thread pool with a plain HTTP client. With `--model`, both sides compute the perplexity of the texts
in ROWS.jsonl in float32 on one thread, in turn, each in a process of its own; CPU-seconds of loading are not counted. lm-eval is that of
`swift env create lm-eval`, on the torch of this environment.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swift_evaluate import Question, ask_all
from swift_testing.evaluation import evaluation
from swift_testing.fake_engine import FakeEngine

from swift_core.environments import isolated_entries, python_for
from swift_core.plugins import registry

ROOT = Path(__file__).parent.parent


def questions_per_minute(count: int, delay: float, concurrency: int) -> tuple[float, float]:
    """Return the rates through `ask_all` and of the plain client."""

    def answer(_messages: object) -> str:
        time.sleep(delay)
        return "4"

    questions = [Question(task="sums", id=str(number), messages=[{"role": "user", "content": str(number)}]) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, FakeEngine(answer) as engine:
        engine.server.socket.listen(128)  # the plain client does not try again if a connection is refused
        asked, _ = evaluation(Path(folder), concurrency=concurrency)

        def plain(question: Question) -> None:
            body = json.dumps({"model": "fake", "messages": list(question.messages)}).encode()
            request = urllib.request.Request(f"{engine.url}/chat/completions", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request) as response:
                json.load(response)

        def pool() -> None:
            with ThreadPoolExecutor(concurrency) as workers:
                list(workers.map(plain, questions))

        ours = _rate(count, lambda: ask_all(engine.as_server, questions, asked, lambda _question, _answer: {"right": 1.0}))
        return ours, _rate(count, pool)


def _rate(count: int, work: Callable[[], None]) -> float:
    begin = time.monotonic()
    work()
    return 60 * count / (time.monotonic() - begin)


def builtin(model: Path, rows: Path, length: int) -> tuple[float, int, float]:
    """Return the loss per token, the tokens, and the CPU-seconds without loading, of `builtin`."""
    from swift_plugin_transformers.evaluation.evaluator import Builtin
    from swift_plugin_transformers.evaluation.options import BuiltinOptions

    options = BuiltinOptions(device="cpu", dtype="float32", rows=str(rows), max_length=length)
    seconds, tokens, loss = [], [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for limit in (1, 0):  # the difference is without loading
            asked, items = evaluation(Path(folder), "perplexity", limit=limit)
            begin = time.process_time()
            loss = Builtin(options).evaluate(model, asked).values["perplexity"]["loss"]
            seconds.append(time.process_time() - begin)
            tokens.append(sum(json.loads(item.output)["tokens"] for item in items))
    return loss, tokens[1] - tokens[0], seconds[1] - seconds[0]


def lm_eval(model: Path, rows: Path, length: int) -> tuple[float, int, float]:
    """Return the same of lm-eval, with the torch of this environment and the lm-eval of its own."""
    entry = next(entry for entry in isolated_entries(registry()) if entry.spec.name == "lm-eval")
    sys.path.append(str(next(Path(python_for(entry, {})).parents[1].glob("lib/python*/site-packages"))))
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [json.loads(line)["text"] for line in rows.read_text(encoding="utf-8").splitlines()]
    side = HFLM(pretrained=str(model), dtype="float32", batch_size=1, max_length=length, device="cpu")
    requests = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=index) for index, text in enumerate(texts)]
    tokens = sum(len(side.tok_encode(text)) for text in texts)
    begin = time.process_time()
    loss = -math.fsum(side.loglikelihood_rolling(requests, disable_tqdm=True)) / tokens
    return loss, tokens, time.process_time() - begin


SIDES = {"builtin": builtin, "lm-eval": lm_eval}


def one_side(name: str, model: Path, rows: Path, length: int) -> tuple[float, int, float]:
    """Return what a side gives, in a process of its own, on one thread."""
    words = [sys.executable, __file__, "--side", name, "--model", str(model), "--rows", str(rows), "--length", str(length)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    loss, tokens, seconds = json.loads(done.stdout.splitlines()[-1])
    return loss, tokens, seconds


def texts(folder: Path) -> dict[str, Path]:
    """Write texts of the documentation: pages, and paragraphs of which several fit into a pass."""
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/how-to").glob("*.md"))]
    long = [page[:5000] for page in pages if len(page) >= 5000][:6]
    short = [part for page in pages for part in page.split("\n\n") if 80 <= len(part) <= 400][:150]
    found = {"long": folder / "long.jsonl", "short": folder / "short.jsonl"}
    for path, chosen in zip(found.values(), (long, short), strict=True):
        path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in chosen), encoding="utf-8")
    return found


def perplexity(model: Path, files: dict[str, Path], length: int, rounds: int) -> None:
    """Print loss and tokens per CPU-second of both sides in turn; the fastest of the rounds counts."""
    for name, rows in files.items():
        found: dict[str, list[tuple[float, int, float]]] = {}
        for _ in range(rounds):
            for side in SIDES:
                found.setdefault(side, []).append(one_side(side, model, rows, length))
        best = {side: min(runs, key=lambda run: run[2] / run[1]) for side, runs in found.items()}
        rate = {side: tokens / seconds for side, (_, tokens, seconds) in best.items()}
        spread = [b[2] / b[1] * a[1] / a[2] for a, b in zip(found["builtin"], found["lm-eval"], strict=True)]
        for side, (loss, tokens, _) in best.items():
            print(f"{name}, {side}: loss {loss:.7f}, {tokens} tokens, {rate[side]:,.0f} a CPU-second", flush=True)
        print(
            f"{name}: builtin is {rate['builtin'] / rate['lm-eval']:.2f}x; by round {', '.join(f'{each:.2f}' for each in spread)}",
            flush=True,
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=Path, help="default: texts of the documentation")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        import torch

        torch.set_num_threads(1)
        print(json.dumps(SIDES[given.side](given.model, given.rows, given.length)))
        return
    for concurrency in (1, 16):
        ours, plain = questions_per_minute(given.questions, given.delay, concurrency)
        print(f"{concurrency} at once: {ours:,.0f} questions a minute; plain client {plain:,.0f}; overhead {plain / ours - 1:.1%}")
    if given.model:
        with tempfile.TemporaryDirectory() as folder:
            files = {given.rows.name: given.rows} if given.rows else texts(Path(folder))
            perplexity(given.model, files, given.length, given.rounds)


if __name__ == "__main__":
    main()
