"""Log-probabilities of the distribution that tokens are sampled from, against the same computed from the model's logits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from swift_http import Sampling, Token
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_plugin_transformers.varlen import VarlenUnsupported

PROMPT = [5, 9, 17, 4, 30]


def answer(engine: EmbeddedEngine) -> list[Token]:
    sampling = Sampling(max_tokens=6, temperature=0.5, top_p=1.0, top_k=3, seed=1, logprobs=0, ignore_eos=True)

    async def tokens() -> list[Token]:
        return [token async for piece in engine.generate(PROMPT, sampling, model="m") for token in piece.tokens]

    return asyncio.run(tokens())


@pytest.mark.parametrize("mode", ["raw_logprobs", "processed_logprobs"])
@pytest.mark.parametrize("batched", [True, False])
def test_log_probabilities_are_of_the_model_or_of_the_sampling(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, mode: str, batched: bool
) -> None:
    def never(model: object) -> float:
        raise VarlenUnsupported("a test says so")

    if not batched:
        monkeypatch.setattr("swift_plugin_transformers.engine.probe", never)
    engine = load(tiny_model, {}, "m", ServeOptions.checked({"device": "cpu", "dtype": "float32", "memory": "64MB", "logprobs_mode": mode}))
    try:
        tokens = answer(engine)
        ids = [*PROMPT, *(token.id for token in tokens)]
        with torch.inference_mode():
            logits = engine._served.unwrapped(input_ids=torch.tensor([ids]), use_cache=False).logits[0, len(PROMPT) - 1 : -1]
    finally:
        engine.close()
    if mode == "processed_logprobs":
        logits = logits / 0.5
        logits = logits.masked_fill(logits < logits.topk(3).values[:, -1:], -torch.inf)
    expected = logits.log_softmax(-1)[range(len(tokens)), [token.id for token in tokens]]
    torch.testing.assert_close(torch.tensor([token.logprob for token in tokens]), expected, atol=1e-5, rtol=1e-5)
