"""Checks of a backend: its command line and, if its engine is installed, the engine's behaviour on the tiny model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_serve.acceptance import open_routes
from swift_serve.client import Client
from swift_serve.parity import check_parity
from swift_serve.roles import Command, Serving

from swift_core.checkpoints import Golden
from swift_core.contract import BackendSpec, Server, SwiftError, UsageError
from swift_testing.kit import served, tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.served import Served
from swift_testing.kit.subject import Subject

BACKEND = "backend"
NEEDS = ("torch", "transformers", "httpx2")
ADAPTER = "poet"
ADAPTER_CHECKS = frozenset({"check_adapters", "check_runtime_adapters", "check_concurrent_adapters"})
_KEY = "sk-of-the-check"


def interpreter(subject: Subject) -> str:
    """Return the interpreter that has the engine: the running one, or that of the engine's environment."""
    try:
        subject.needs_engine()
    except Skip:
        if not subject.environments or not subject.spec.isolated:
            raise
        from swift_core.environments import python_for
        from swift_core.plugins import registry

        try:
            return python_for(registry().entry(BackendSpec, subject.spec.name), {})
        except SwiftError as error:
            raise Skip(f"{error.message}. {error.hint}") from None
    return sys.executable


def serving(subject: Subject, checkpoint: Path, **more: Any) -> Serving:
    """Return a `Serving` of the checkpoint, by the running interpreter unless `more` has another."""
    return served.serving(checkpoint, more.pop("python", sys.executable), runtime_adapters=subject.spec.runtime_adapters, **more)


def _adapter(subject: Subject) -> Path:
    """Return a LoRA adapter that changes the tiny model's answers."""

    def make() -> Path:
        try:
            from peft import LoraConfig, get_peft_model
        except ModuleNotFoundError:
            raise Skip("peft is not installed, so there is no adapter to serve") from None
        import torch

        folder = subject.new_folder("adapter")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
            model: Any = get_peft_model(tiny.base(subject.tiny_model), config)
        model.save_pretrained(folder)
        return folder

    return subject.keep("adapter", make)


def _checkpoint(subject: Subject) -> Path:
    """Return the tiny model in a format that the backend reads."""
    if "safetensors" in subject.spec.reads:
        return subject.tiny_model
    write = subject.example.checkpoint
    if write is None:
        raise Skip("it does not read safetensors, and the plugin's SWIFT_EXAMPLES has no `checkpoint` function to convert the tiny model")

    def make() -> Path:
        folder = subject.new_folder("checkpoint")
        folder.mkdir()
        write(subject.tiny_model, folder)
        return folder

    return subject.keep("checkpoint", make)


def engine_of(subject: Subject) -> Served:
    """Return the engine serving the tiny model, started once for all checks; with an adapter if it supports them and a check needs one."""
    python = interpreter(subject)

    def make() -> Served:
        spec: BackendSpec = subject.spec
        needed = not subject.checks or subject.checks & ADAPTER_CHECKS
        adapters = {ADAPTER: _adapter(subject)} if spec.adapters and needed else {}
        what = serving(subject, _checkpoint(subject), python=python, adapters=adapters, api_key=_KEY)
        folder = subject.new_folder("engine")
        subject.log = folder / "log.txt"
        running = served.start(subject.build(), spec, what, folder)
        subject.closing.callback(served.kill, running.process)
        return running

    return subject.keep("served", make)


def answer(running: Served, model: str = served.NAME, **more: Any) -> str:
    """Return its answer to the question of `tiny`, at temperature 0."""
    return Client(running.server).complete(tiny.QUESTION, model=model, **{"temperature": 0, "max_tokens": 16, **more})


def stream(running: Served, **more: Any) -> Iterator[str]:
    """Yield its answer to the question of `tiny` in pieces, from a streaming request."""
    return Client(running.server).chat(tiny.QUESTION, **more)


@check(BACKEND)
def check_command(subject: Subject) -> None:
    """Its command has the port, and the API key only in the environment, since other users can read the arguments."""
    what = serving(subject, _checkpoint(subject), api_key=_KEY)
    made = subject.build().command(what)
    require(isinstance(made, Command), f"command() returns a {type(made).__name__}, not a Command")
    require(all(isinstance(word, str) for word in made.argv), "its arguments are not all strings")
    words = " ".join(made.argv)
    require(_KEY not in words, "the API key is among the arguments, which every user of the machine can read")
    require(any(_KEY in value for value in made.env.values()), "the API key is not in the command's environment")
    require(str(what.port) in words or str(what.port) in made.env.values(), "the port is neither in the arguments nor in the environment")
    require(made.ready.startswith("/"), f"`ready` must be a path, not '{made.ready}'")


@check(BACKEND, needs=NEEDS)
def check_serves(subject: Subject) -> None:
    """It serves the tiny model, answers at its `ready` path, and lists all model names at /v1/models."""
    running = engine_of(subject)
    found = Client(running.server).models()
    missing = [name for name in running.server.models if name not in found]
    require(not missing, f"/v1/models lists {', '.join(found)}, without {', '.join(missing)}")


@check(BACKEND, needs=NEEDS)
def check_api_key_is_required(subject: Subject) -> None:
    """Requests without the API key, or with a wrong one, are refused."""
    found, _, asked = open_routes(engine_of(subject).server)
    require(asked, "it has none of the routes /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses")
    require(not found, "; ".join(found))


@check(BACKEND, needs=NEEDS)
def check_streaming(subject: Subject) -> None:
    """A streamed answer is identical to the answer without streaming."""
    running = engine_of(subject)
    whole = answer(running)
    pieces = list(stream(running, temperature=0, max_tokens=16))
    require("".join(pieces) == whole, f"streamed it answers {''.join(pieces)!r}, otherwise {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_prompt_tokens(subject: Subject) -> None:
    """A conversation is tokenized to the ids that the checkpoint's chat template gives: other ids would lower the quality of answers."""
    running = engine_of(subject)
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
    turns = [*tiny.QUESTION, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "Why?"}]
    golden: list[Golden] = [
        {
            "name": name,
            "messages": messages,
            "ids": list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]),
        }
        for name, messages in (("one turn", tiny.QUESTION), ("three turns", turns))
    ]
    found = check_parity(running.server, golden)
    require(not found.words("different"), f"{found.words('different')}. {found.hint}")
    if found.words("unchecked"):
        raise Skip(found.words("unchecked"))


@check(BACKEND, needs=NEEDS)
def check_stop_strings(subject: Subject) -> None:
    """An answer ends before a `stop` text and does not contain it: agents rely on that."""
    running = engine_of(subject)
    whole = answer(running)
    if len(whole.strip()) < 4:
        raise Skip("the tiny model's answer is too short to be stopped")
    word = whole[len(whole) // 2 :][:3]
    text = answer(running, stop=[word])
    require(text == whole[: whole.index(word)], f"with stop={word!r} it answers {text!r}, without it {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_unknown_model_is_refused(subject: Subject) -> None:
    """An unknown model name is an error: an answer of the base in place of an adapter's would go unnoticed."""
    running = engine_of(subject)
    if subject.spec.adapter_names != "{adapter}":
        raise Skip("its adapter names contain the model name, which it does not verify")
    try:
        text = answer(running, "nobody")
    except SwiftError:
        return
    raise CheckFailed(f"for the unknown model 'nobody' it answers {text!r}")


@check(BACKEND, needs=NEEDS)
def check_adapters(subject: Subject) -> None:
    """`adapters` is accurate: an adapter changes the answers and leaves those of the base unchanged, or adapters are refused."""
    spec: BackendSpec = subject.spec
    if not spec.adapters:
        what = serving(subject, subject.folder, adapters={ADAPTER: subject.folder})
        _must_refuse(lambda: subject.build().command(what), "it has adapters=False, but its command accepts adapters")
        return
    running = engine_of(subject)
    name = spec.adapter_model(served.NAME, ADAPTER)
    try:
        base, adapted = answer(running), answer(running, name)
    except SwiftError as error:
        raise CheckFailed(f"it has adapters=True, but does not serve '{name}': {error.message}") from error
    require(adapted != base, f"it has adapters=True, but '{name}' answers as the base does: {base!r}")
    require(answer(running) == base, "after a request to the adapter, the answer of the base has changed")


@check(BACKEND, needs=NEEDS)
def check_runtime_adapters(subject: Subject) -> None:
    """`runtime_adapters` is accurate: an adapter can be added and removed while it runs, or that is a UsageError."""
    spec: BackendSpec = subject.spec
    if not spec.runtime_adapters:
        server = Server("http://127.0.0.1:9/v1", (served.NAME,))
        backend = subject.build()
        _must_refuse(lambda: backend.add_adapter(server, "x", subject.folder), "it has runtime_adapters=False, but add_adapter() works")
        _must_refuse(lambda: backend.drop_adapter(server, "x"), "it has runtime_adapters=False, but drop_adapter() works")
        return
    running = engine_of(subject)
    running.backend.add_adapter(running.server, "second", _adapter(subject))
    name = spec.adapter_model(served.NAME, "second")
    require(answer(running, name) != answer(running), f"the adapter '{name}', added while it runs, does not change the answer")
    running.backend.drop_adapter(running.server, "second")
    try:
        answer(running, name)
    except SwiftError:
        return
    raise CheckFailed("it still answers for an adapter that was removed")


def _must_refuse(call: Any, otherwise: str) -> None:
    try:
        call()
    except UsageError as error:
        require(error.hint, f"it refuses without a hint: {error.message}")
        return
    except Exception as error:
        raise CheckFailed(f"{otherwise}: it raises {type(error).__name__}: {error}") from error
    raise CheckFailed(otherwise)
