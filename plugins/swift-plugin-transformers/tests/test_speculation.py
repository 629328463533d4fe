"""Speculative decoding: the tokens are those of decoding without drafts, in fewer passes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from swift_http import Sampling, Token
from swift_plugin_transformers import batching
from swift_plugin_transformers.backend import TransformersBackend
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_plugin_transformers.speculation import NgramDrafter, Speculation
from swift_serve.roles import Serving
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model
from transformers import AutoTokenizer

from swift_core.contract.errors import UsageError

PROMPT = "one two three four one two three four one two three"
SAMPLINGS = [
    Sampling(max_tokens=40, temperature=0),
    Sampling(max_tokens=40, temperature=1.5, seed=3, logprobs=2),
    Sampling(max_tokens=40, temperature=0, repetition_penalty=1.3, frequency_penalty=0.5),
    Sampling(max_tokens=1, temperature=0),
]


def generated(engine: EmbeddedEngine, prompt: Sequence[int], sampling: Sampling) -> list[Token]:
    async def collect() -> list[Token]:
        return [token async for piece in engine.generate(prompt, sampling, model="m") for token in piece.tokens]

    return asyncio.run(collect())


def answers(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[int]], list[list[float]], list[int]]:
    """Return the tokens of the completions, their log-probabilities, and the passes that each took."""
    tokens, logprobs, passes = [], [], []
    original = batching.forward

    def counted(*given: Any, **more: Any) -> Any:
        passes[-1] += 1
        return original(*given, **more)

    monkeypatch.setattr(batching, "forward", counted)
    for sampling in SAMPLINGS:
        passes.append(0)
        made = generated(engine, engine.encode(PROMPT), sampling)
        tokens.append([token.id for token in made])
        logprobs.append([token.logprob for token in made if token.logprob is not None])
    monkeypatch.setattr(batching, "forward", original)
    engine.close()
    return tokens, logprobs, passes


@pytest.fixture
def plain(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[int]], list[list[float]], list[int]]:
    return answers(engine_of(tiny_model), monkeypatch)


def engine_of(checkpoint: Path, **options: Any) -> EmbeddedEngine:
    engine = load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32", memory="64MB", **options))
    assert isinstance(engine, EmbeddedEngine)
    return engine


@pytest.mark.parametrize("draft", ["ngrams", "itself", "another"])
def test_tokens_are_those_without_drafts_in_fewer_passes(draft, plain, tiny_model, tmp_path, monkeypatch):
    models = {"ngrams": "", "itself": str(tiny_model), "another": ""}
    if draft == "another":
        models["another"] = str(write_tiny_model(tmp_path / "other", seed=7))
    tokens, logprobs, passes = answers(engine_of(tiny_model, speculative_tokens=4, draft_model=models[draft]), monkeypatch)
    assert tokens == plain[0]
    for ours, theirs in zip(logprobs, plain[1], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert all(ours <= theirs for ours, theirs in zip(passes, plain[2], strict=True))
    if draft == "itself":
        assert passes[0] <= 1 + -(-len(tokens[0]) // 5)  # a pass yields four drafts and one more
    if draft == "ngrams":
        assert passes[0] < plain[2][0]


def test_finished_sequences_are_reused_without_their_rejected_drafts(tiny_model, tmp_path):
    engine = engine_of(tiny_model, speculative_tokens=4, draft_model=str(write_tiny_model(tmp_path / "other", seed=7)))
    first = [token.id for token in generated(engine, engine.encode(PROMPT), Sampling(max_tokens=20, temperature=0))]
    longer = [*engine.encode(PROMPT), *first[:10]]
    assert [token.id for token in generated(engine, longer, Sampling(max_tokens=10, temperature=0))] == first[10:]
    engine.close()


def test_ngrams_propose_what_followed_the_last_time():
    drafter = NgramDrafter()
    assert drafter.propose([1, 2, 3, 4, 5, 1, 2, 3], 3) == [4, 5, 1]
    assert drafter.propose([1, 2, 3, 4, 5, 1, 2, 3, 9, 2, 3], 2) == [9, 2]
    assert drafter.propose([1, 2, 3, 4, 5, 1, 2, 3, 9, 2, 3, 8], 2) == []


def test_the_number_of_drafts_adapts():
    class Ones:
        def propose(self, tokens, limit):
            return [1] * limit

    speculation = Speculation(Ones(), 8)
    assert len(speculation.draft([1], 100)) == 8
    speculation.observe(8, 1)
    assert len(speculation.draft([1], 100)) == 2
    speculation.observe(2, 2)
    assert len(speculation.draft([1], 100)) == 4
    assert len(speculation.draft([1], 3)) == 3


def test_bad_draft_models(tiny_model, tmp_path):
    serving = Serving(checkpoint=tiny_model, name="m", port=1, python="python")
    with pytest.raises(UsageError, check=coded("MODEL-061")):
        TransformersBackend(ServeOptions(draft_model=str(tiny_model))).command(serving)
    with pytest.raises(UsageError, check=coded("MODEL-062")):
        TransformersBackend(ServeOptions(draft_model=str(tmp_path / "none"), speculative_tokens=3)).command(serving)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<new>"])
    other = write_tiny_model(tmp_path / "other")
    tokenizer.save_pretrained(other)
    with pytest.raises(UsageError, check=coded("MODEL-063")):
        engine_of(tiny_model, draft_model=str(other), speculative_tokens=3)
