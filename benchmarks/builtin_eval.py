"""Evaluation: questions per minute against a plain client, and `builtin` perplexity against lm-eval's `hf` on the same texts.

    python benchmarks/builtin_eval.py [--questions 400] [--delay 0.05] [--model FOLDER --rows ROWS.jsonl --length 512]

Questions go to a fake server in this process, which answers each after `--delay` seconds: through `swift_evaluate.ask_all`, which keeps
every item, and through a thread pool with a plain HTTP client. With `--model`, both sides compute the perplexity of the texts
in ROWS.jsonl in float32 on one thread; CPU-seconds of loading are not counted. That part needs lm-eval and torch in one environment.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swift_evaluate import Question, ask_all
from swift_testing.evaluation import evaluation
from swift_testing.fake_engine import FakeEngine


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


def builtin(model: Path, rows: Path, length: int) -> tuple[float, float]:
    """Return the loss per token, and tokens per CPU-second."""
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
    return loss, (tokens[1] - tokens[0]) / (seconds[1] - seconds[0])


def lm_eval(model: Path, rows: Path, length: int) -> tuple[float, float]:
    """Return the loss per token, and tokens per CPU-second, of lm-eval."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [json.loads(line)["text"] for line in rows.read_text(encoding="utf-8").splitlines()]
    side = HFLM(pretrained=str(model), dtype="float32", batch_size=1, max_length=length, device="cpu")
    requests = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=index) for index, text in enumerate(texts)]
    tokens = sum(len(side.tok_encode(text)) for text in texts)
    begin = time.process_time()
    loss = -math.fsum(side.loglikelihood_rolling(requests, disable_tqdm=True)) / tokens
    return loss, tokens / (time.process_time() - begin)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--length", type=int, default=512)
    given = parser.parse_args()
    for concurrency in (1, 16):
        ours, plain = questions_per_minute(given.questions, given.delay, concurrency)
        print(f"{concurrency} at once: {ours:,.0f} questions a minute; plain client {plain:,.0f}; overhead {plain / ours - 1:.1%}")
    if given.model and given.rows:
        import torch

        torch.set_num_threads(1)
        for name, side in (("builtin", builtin), ("lm-eval hf", lm_eval)):
            loss, rate = side(given.model, given.rows, given.length)
            print(f"{name}: loss {loss:.6f}, perplexity {math.exp(loss):.4f}, {rate:,.0f} tokens a CPU-second")


if __name__ == "__main__":
    main()
