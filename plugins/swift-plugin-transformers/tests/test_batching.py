"""Continuous batching: many requests at once give what each would give alone, within a bound of memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_http import Piece, Sampling
from swift_plugin_transformers.active_sequence import ActiveSequence
from swift_plugin_transformers.batching import Batcher
from swift_plugin_transformers.engine import EmbeddedEngine
from swift_plugin_transformers.generation import Request
from swift_plugin_transformers.memory import cache_bytes
from swift_plugin_transformers.prefix_cache import PrefixCache
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.serving import load
from swift_plugin_transformers.varlen import VarlenUnsupported, forward, probe
from swift_testing.codes import coded

from swift_core.contract.errors import SwiftError, UsageError


def engine_of(checkpoint: Path, **options: Any) -> EmbeddedEngine:
    return load(checkpoint, {}, "m", ServeOptions(device="cpu", dtype="float32", **options))


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[EmbeddedEngine]:
    made = engine_of(tiny_model, memory="64MB")
    yield made
    made.close()


class Asked:
    """A request that is under way."""

    def __init__(
        self, engine: EmbeddedEngine, prompt: Sequence[int], sampling: Sampling, model: str = "m", score: int | None = None
    ) -> None:
        self.pieces: list[Piece] = []
        self.error: BaseException | None = None
        self._done = threading.Event()
        self.request = Request(prompt=prompt, sampling=sampling, model=model, put=self.pieces.append, done=self._end, score=score)
        engine.worker.submit(self.request)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self._done.set()

    def tokens(self) -> list[int]:
        assert self._done.wait(300)
        if self.error:
            raise self.error
        return [token.id for piece in self.pieces for token in piece.tokens]


def batcher(engine: EmbeddedEngine) -> Batcher:
    assert isinstance(engine.worker, Batcher)
    return engine.worker


def mixed(engine: EmbeddedEngine, count: int = 16) -> list[tuple[list[int], int]]:
    ids = engine.encode("The history of the city begins with a small tribe that lived on an island in the river. " * 8)
    return [(ids[number * 7 :][: 20 + 17 * number], 4 + 5 * (number % 7)) for number in range(count)]


def alone(checkpoint: Path, asks: Sequence[tuple[list[int], int]]) -> list[list[int]]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    ends = model.generation_config.eos_token_id
    out = [model.generate(torch.tensor([prompt]), max_new_tokens=most, do_sample=False, eos_token_id=ends) for prompt, most in asks]
    return [list(ids[0, len(prompt) :]) for ids, (prompt, _) in zip(out, asks, strict=True)]


def check_equal(engine: EmbeddedEngine, checkpoint: Path) -> None:
    asks = mixed(engine)
    asked = [Asked(engine, prompt, Sampling(max_tokens=most, temperature=0)) for prompt, most in asks]
    assert [one.tokens() for one in asked] == alone(checkpoint, asks)
    again = Asked(engine, asks[5][0], Sampling(max_tokens=asks[5][1], temperature=0))  # its prompt is in memory now
    assert again.tokens() == asked[5].tokens()


def test_sixteen_at_once_say_what_each_says_alone(engine: EmbeddedEngine, tiny_model: Path):
    check_equal(engine, tiny_model)


@pytest.mark.full("serve")
def test_sixteen_at_once_of_the_real_model(smollm2: Path):
    engine = engine_of(smollm2, memory="2GB")
    check_equal(engine, smollm2)
    engine.close()


def test_requests_share_steps(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch):
    steps: list[int] = []

    def counted(model: Any, parts: Any, **more: Any) -> Any:
        steps.append(len(parts))
        return forward(model, parts, **more)

    monkeypatch.setattr("swift_plugin_transformers.batching.forward", counted)
    prompt = engine.encode("hello")
    asked = [Asked(engine, prompt, Sampling(max_tokens=30, temperature=0)) for _ in range(8)]
    for one in asked:
        one.tokens()
    assert max(steps) == 8
    assert len(steps) < 60


def test_a_seed_gives_the_same_answer_whoever_is_beside_it(engine: EmbeddedEngine):
    prompt = engine.encode("hello")
    one = Asked(engine, prompt, Sampling(max_tokens=20, temperature=1.0, seed=3)).tokens()
    beside = [Asked(engine, prompt, Sampling(max_tokens=20, temperature=1.0, seed=seed)) for seed in (1, 2, 3, 4)]
    assert [ask.tokens() == one for ask in beside] == [False, False, True, False]


def test_processors_are_transformers_own(engine: EmbeddedEngine):
    prompt = engine.encode("hello there")
    free = Asked(engine, prompt, Sampling(max_tokens=40, temperature=0)).tokens()
    kept = Asked(engine, prompt, Sampling(max_tokens=40, temperature=0, repetition_penalty=9.0)).tokens()
    assert len(set(kept)) > len(set(free))


def test_a_long_prompt_is_scored_in_parts_beside_answers(engine: EmbeddedEngine, tiny_model: Path):
    from transformers import AutoModelForCausalLM

    prompt = (engine.encode("The capital of France is Paris. ") * 40)[: engine.context - 10]
    beside = Asked(engine, prompt[:30], Sampling(max_tokens=20, temperature=0))
    scored = Asked(engine, prompt, Sampling(), score=2)
    scored.tokens()
    got = [token.logprob for piece in scored.pieces for token in piece.tokens]
    with torch.inference_mode():
        expected = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)(torch.tensor([prompt])).logits[0].log_softmax(-1)
    assert got[0] is None
    assert got[1:] == pytest.approx([float(expected[at, token]) for at, token in enumerate(prompt[1:])], abs=1e-4)
    assert len(beside.tokens()) == 20


# -- memory --------------------------------------------------------------------------------------------------------------


def test_memory_never_exceeds_its_limit_and_nobody_hangs(tiny_model: Path):
    engine = engine_of(tiny_model, memory="64MB")
    prefixes = batcher(engine).prefix_cache
    prefixes.capacity = 150
    most = 0

    def watched(*given: Any, **more: Any) -> Any:
        nonlocal most
        cache = allocate(*given, **more)
        most = max(most, prefixes.in_use + prefixes.reusable)
        return cache

    allocate = prefixes.allocate
    prefixes.allocate = watched  # type: ignore[method-assign]
    ids = engine.encode("some words that are here ") * 3
    asked = [Asked(engine, ids[number : number + 30], Sampling(max_tokens=20, temperature=0)) for number in range(12)]
    assert all(len(one.tokens()) <= 20 for one in asked)
    assert 100 <= most <= 150
    assert prefixes.in_use == 0
    with pytest.raises(UsageError, check=coded("MODEL-006"), match="150 tokens"):
        Asked(engine, ids[:30], Sampling(max_tokens=130)).tokens()
    assert len(Asked(engine, ids[:30], Sampling(temperature=0)).tokens()) <= 120  # no limit of its own: what fits
    engine.close()


def test_bytes_of_a_token_are_those_of_the_config(engine: EmbeddedEngine):
    config = engine._served.model.config
    size = config.num_hidden_layers * config.num_key_value_heads * (config.hidden_size // config.num_attention_heads) * 2 * 4
    assert batcher(engine).prefix_cache.capacity == 64_000_000 // size


@pytest.mark.parametrize(("text", "bytes_"), [("2GB", 2_000_000_000), ("512MiB", 512 * 2**20), ("1.5 KB", 1500)])
def test_sizes(text: str, bytes_: int):
    assert cache_bytes(text, torch.device("cpu")) == bytes_


def test_auto_is_a_part_of_what_is_free():
    assert 0 < cache_bytes("auto", torch.device("cpu")) <= 4 * 2**30


def test_cached_prefixes_are_evicted_in_the_order_of_their_last_use():
    prefixes = PrefixCache(100)
    for name in "abc":
        cache = prefixes.allocate("m", [ord(name)] * 20, 30)
        assert cache
        keep = torch.ones(1, 20, 1)
        cache.extend(0, keep * ord(name), keep)
        cache.length = 20
        prefixes.release("m", [ord(name)] * 20, cache)
    assert prefixes.reusable == 60
    again = prefixes.allocate("m", [ord("a")] * 25, 30)
    assert again
    assert again.length == 20
    assert float(again.extend(0, torch.zeros(1, 0, 1), torch.zeros(1, 0, 1))[0].sum()) == 20 * ord("a")
    assert prefixes.allocate("other", [ord("a")] * 25, 30).length == 0  # type: ignore[union-attr]
    assert [entry.tokens[0] for entry in prefixes.entries] == [ord("c"), ord("a")]
    assert prefixes.allocate("m", [1], 41) is None


# -- when it goes wrong --------------------------------------------------------------------------------------------------


def test_cancelled_requests_leave_at_once(long_model: Path):
    engine = engine_of(long_model, memory="64MB")
    prompt = engine.encode("hello")
    long = [Asked(engine, prompt, Sampling(max_tokens=20_000, temperature=0)) for _ in range(20)]
    for one in long:
        one.request.cancelled.set()
    for one in long:
        assert len(one.tokens()) < 20_000
    assert batcher(engine).prefix_cache.in_use == 0
    assert len(Asked(engine, prompt, Sampling(max_tokens=5, temperature=0)).tokens()) == 5
    engine.close()


def test_one_bad_prompt_harms_no_other(engine: EmbeddedEngine):
    prompt = engine.encode("hello")
    good = Asked(engine, prompt, Sampling(max_tokens=20, temperature=0))
    bad = Asked(engine, [10**6], Sampling(max_tokens=20))
    with pytest.raises(UsageError, check=coded("MODEL-010"), match="1000000"):
        bad.tokens()
    assert len(good.tokens()) == 20


def test_a_failed_step_is_reported_and_the_next_works(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no")

    prompt = engine.encode("hello")
    with monkeypatch.context() as patch:
        patch.setattr("swift_plugin_transformers.batching.forward", full)
        with pytest.raises(SwiftError, check=coded("MODEL-011")):
            Asked(engine, prompt, Sampling(max_tokens=5)).tokens()
    assert batcher(engine).prefix_cache.in_use == 0
    assert len(Asked(engine, prompt, Sampling(max_tokens=5, temperature=0)).tokens()) == 5


def test_what_fails_for_one_request_fails_for_no_other(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch):
    """A row of not-a-number, a text that can't be written, a row that can't be kept: each harms at most its own request."""
    prompt, sampling = engine.encode("hello"), Sampling(max_tokens=20, temperature=0)
    expected = Asked(engine, prompt, sampling).tokens()
    plain = ActiveSequence._choose

    def choose(self: Any, logits: Any) -> int:
        if self.request.sampling.seed == 13:
            raise RuntimeError("probability tensor contains either inf, nan or element < 0")
        return plain(self, logits)

    def unlucky(self: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    def mute(piece: Piece) -> None:
        raise RuntimeError("nobody listens")

    monkeypatch.setattr(ActiveSequence, "_choose", choose)
    monkeypatch.setattr("swift_plugin_transformers.varlen.SequenceCache.trim", unlucky)
    good = [Asked(engine, prompt, sampling) for _ in range(3)]
    bad = Asked(engine, prompt, Sampling(max_tokens=20, temperature=1, seed=13))
    silent = Request(prompt=prompt, sampling=sampling, model="m", put=mute, done=lambda error: mute(Piece("")))
    engine.worker.submit(silent)
    with pytest.raises(RuntimeError, match="nan"):
        bad.tokens()
    assert [one.tokens() for one in good] == [expected] * 3
    assert Asked(engine, prompt, sampling).tokens() == expected
    assert engine.fault is None
    assert batcher(engine).prefix_cache.in_use == 0


def test_a_model_that_computes_nothing_any_more_ends_the_worker(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch):
    def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    prompt = engine.encode("hello")
    with monkeypatch.context() as patch:  # a pass that fails for what is in it
        patch.setattr("swift_plugin_transformers.batching.forward", lost)
        with pytest.raises(RuntimeError, match="device-side"):
            Asked(engine, prompt, Sampling(max_tokens=5)).tokens()
    assert len(Asked(engine, prompt, Sampling(max_tokens=5, temperature=0)).tokens()) == 5
    monkeypatch.setattr(type(engine.worker._served.unwrapped), "forward", lost)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="device-side"):
        Asked(engine, prompt, Sampling(max_tokens=5)).tokens()
    with pytest.raises(SwiftError, check=coded("SERVE-020")):
        Asked(engine, prompt, Sampling(max_tokens=5)).tokens()
    assert "device-side" in str(engine.fault)


def test_running_out_of_cpu_memory_is_reported(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any, **__: Any) -> None:
        torch.empty(2**55)

    monkeypatch.setattr("swift_plugin_transformers.batching.forward", full)
    with pytest.raises(SwiftError, check=coded("MODEL-011")):
        Asked(engine, engine.encode("hello"), Sampling(max_tokens=5)).tokens()


def test_an_adapter_that_is_gone_is_not_answered_for_by_the_base(engine: EmbeddedEngine):
    with pytest.raises(UsageError, check=coded("MODEL-009"), match="'poet'"):
        Asked(engine, engine.encode("hello"), Sampling(max_tokens=5), model="poet").tokens()


def test_closing_tells_those_who_wait(long_model: Path):
    engine = engine_of(long_model)
    asked = Asked(engine, engine.encode("hello"), Sampling(max_tokens=20_000, temperature=0))
    engine.close()
    with pytest.raises(SwiftError, check=coded("SERVE-019")):
        asked.tokens()


# -- other architectures -------------------------------------------------------------------------------------------------


def small(name: str, **more: Any) -> Any:
    import transformers

    common = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**common, intermediate_size=48, **more)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3", "Phi3", "Olmo2", "Granite"])
def test_architectures_that_can(name: str):
    assert probe(small(name, **({"pad_token_id": 0} if name == "Phi3" else {}))) > 0


def test_sliding_windows_are_kept():
    model = small("Mistral", sliding_window=8)
    prompt = list(range(30))
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None)[0, 30:].tolist()
    probe(model)
    from swift_plugin_transformers.varlen import SequenceCache

    row, got, new = SequenceCache(64), [], prompt
    with torch.inference_mode():
        forward(model, [(row, prompt[:11])])
        new = prompt[11:]
        for _ in range(12):
            new = [int(forward(model, [(row, new)]).logits[0, -1].argmax())]
            got += new
    assert got == expected


def test_unsupported_architectures_are_reported_and_left_unchanged():
    model = small("Gemma2", head_dim=8)
    with pytest.raises(VarlenUnsupported, match="softcap"):
        probe(model)
    assert model.config._attn_implementation != "swift_varlen"
    assert model.generate(torch.tensor([[1, 2]]), max_new_tokens=3).shape[1] == 5
