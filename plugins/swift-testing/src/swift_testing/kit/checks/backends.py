"""A backend: its command line, and, where its engine is here, what the engine does on the tiny model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_serve import client
from swift_serve.acceptance import open_routes
from swift_serve.parity import check_parity

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Server, Serving
from swift_core.contract.specs import BackendSpec, Command
from swift_testing.kit import served, tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.served import Served
from swift_testing.kit.subject import Subject

BACKEND = "backend"
NEEDS = ("torch", "transformers", "httpx2")
ADAPTER = "poet"
_KEY = "sk-of-the-check"


def interpreter(subject: Subject) -> str:
    """The interpreter that has the engine: this one, or that of an environment made for it."""
    try:
        subject.needs_engine()
    except Skip:
        if not subject.environments or not subject.spec.isolated:
            raise
        from swift_core.environments.lookup import python_for
        from swift_core.plugins.registry import registry

        try:
            return python_for(registry().entry("backend", subject.spec.name), {})
        except SwiftError as error:
            raise Skip(f"{error.message}. {error.hint}") from None
    return sys.executable


def serving(subject: Subject, checkpoint: Path, **more: Any) -> Serving:
    """What is served; by this interpreter unless `more` says otherwise."""
    return served.serving(checkpoint, more.pop("python", sys.executable), runtime_adapters=subject.spec.runtime_adapters, **more)


def _adapter(subject: Subject) -> Path:
    """A LoRA adapter that plainly changes what the tiny model says."""

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
    """The tiny model in a format that it reads."""
    if "safetensors" in subject.spec.reads:
        return subject.tiny_model
    write = subject.example.checkpoint
    if write is None:
        raise Skip("it does not read safetensors, and the plugin's SWIFT_EXAMPLES does not say how the tiny model is converted")

    def make() -> Path:
        folder = subject.new_folder("checkpoint")
        folder.mkdir()
        write(subject.tiny_model, folder)
        return folder

    return subject.keep("checkpoint", make)


def engine_of(subject: Subject) -> Served:
    """The engine on the tiny model, with an adapter where it claims adapters; started once for all checks."""
    python = interpreter(subject)

    def make() -> Served:
        spec: BackendSpec = subject.spec
        adapters = {ADAPTER: _adapter(subject)} if spec.adapters else {}
        what = serving(subject, _checkpoint(subject), python=python, adapters=adapters, api_key=_KEY)
        folder = subject.new_folder("engine")
        subject.log = folder / "log.txt"
        running = served.start(subject.build(), spec, what, folder)
        subject.closing.callback(served.kill, running.process)
        return running

    return subject.keep("served", make)


def answer(running: Served, model: str = served.NAME, **more: Any) -> str:
    """What it says to the question, at temperature 0."""
    server = running.server
    return client.complete(server.url, tiny.QUESTION, model=model, api_key=server.api_key, **{"temperature": 0, "max_tokens": 16, **more})


def stream(running: Served, **more: Any) -> Iterator[str]:
    """The same in pieces."""
    server = running.server
    return client.chat(server.url, tiny.QUESTION, model=served.NAME, api_key=server.api_key, **more)


@check(BACKEND)
def check_command(subject: Subject) -> None:
    """Its command is a list of arguments with the port in it and the key in the environment: arguments can be read by every user."""
    what = serving(subject, subject.folder, api_key=_KEY)
    made = subject.build().command(what)
    require(isinstance(made, Command), f"command() gives a {type(made).__name__}, not a Command")
    require(all(isinstance(word, str) for word in made.argv), "its arguments are not all strings")
    words = " ".join(made.argv)
    require(_KEY not in words, "the API key is among the arguments, which every user of the machine can read")
    require(any(_KEY in value for value in made.env.values()), "the API key is not in the command's environment")
    require(str(what.port) in words or str(what.port) in made.env.values(), "the port is neither in the arguments nor in the environment")
    require(made.ready.startswith("/"), f"ready is a path, not '{made.ready}'")


@check(BACKEND, needs=NEEDS)
def check_serves(subject: Subject) -> None:
    """It comes up on the tiny model, answers at its `ready` path, and lists the names that clients ask for."""
    running = engine_of(subject)
    found = client.models(running.server.url, running.server.api_key)
    missing = [name for name in running.server.models if name not in found]
    require(not missing, f"/v1/models lists {', '.join(found)}, without {', '.join(missing)}")


@check(BACKEND, needs=NEEDS)
def check_key_is_asked_for(subject: Subject) -> None:
    """Requests without its API key, or with a wrong one, are refused: otherwise its port is open to all who reach it."""
    found, _, asked = open_routes(engine_of(subject).server)
    require(asked, "it has none of the routes /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses")
    require(not found, "; ".join(found))


@check(BACKEND, needs=NEEDS)
def check_stream_is_the_answer(subject: Subject) -> None:
    """The pieces of a stream are the answer that comes without one, character by character."""
    running = engine_of(subject)
    whole = answer(running)
    pieces = list(stream(running, temperature=0, max_tokens=16))
    require("".join(pieces) == whole, f"streamed it says {''.join(pieces)!r}, and otherwise {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_golden_tokens(subject: Subject) -> None:
    """A conversation is read as the token ids that the checkpoint's own template gives: a model that reads others answers worse."""
    running = engine_of(subject)
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
    turns = [*tiny.QUESTION, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "Why?"}]
    golden = [
        {
            "name": name,
            "messages": messages,
            "ids": list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]),
        }
        for name, messages in (("one turn", tiny.QUESTION), ("three turns", turns))
    ]
    found = check_parity(running.server.url, golden, model=served.NAME, api_key=running.server.api_key)
    require(not found.words("different"), f"{found.words('different')}. {found.hint}")
    if found.words("unchecked"):
        raise Skip(found.words("unchecked"))


@check(BACKEND, needs=NEEDS)
def check_stop_words(subject: Subject) -> None:
    """An answer ends before a `stop` text, which agents rely on; the text itself is not in it."""
    running = engine_of(subject)
    whole = answer(running)
    if len(whole.strip()) < 4:
        raise Skip("the tiny model says too little to be stopped")
    word = whole[len(whole) // 2 :][:3]
    said = answer(running, stop=[word])
    require(said == whole[: whole.index(word)], f"with stop={word!r} it says {said!r}, without it {whole!r}")


@check(BACKEND, needs=NEEDS)
def check_unknown_model_is_refused(subject: Subject) -> None:
    """A name that it does not serve is an error: the base's answer in an adapter's name would go unnoticed."""
    running = engine_of(subject)
    if subject.spec.adapter_names != "{adapter}":
        raise Skip("its names have parts, and it answers the model's part as it likes")
    try:
        said = answer(running, "nobody")
    except SwiftError:
        return
    raise CheckFailed(f"asked for the model 'nobody' it answers {said!r}")


@check(BACKEND, needs=NEEDS)
def check_adapters(subject: Subject) -> None:
    """`adapters` is true of it: it serves one that changes the answers and leaves the base's alone, or refuses them."""
    spec: BackendSpec = subject.spec
    if not spec.adapters:
        what = serving(subject, subject.folder, adapters={ADAPTER: subject.folder})
        _must_refuse(lambda: subject.build().command(what), "it says adapters=False, but makes a command with adapters")
        return
    running = engine_of(subject)
    name = spec.adapter_model(served.NAME, ADAPTER)
    try:
        base, adapted = answer(running), answer(running, name)
    except SwiftError as error:
        raise CheckFailed(f"it says adapters=True, but does not serve '{name}': {error.message}") from error
    require(adapted != base, f"it says adapters=True, but '{name}' answers as the base does: {base!r}")
    require(answer(running) == base, "after the adapter was asked, the base answers otherwise")


@check(BACKEND, needs=NEEDS)
def check_runtime_adapters(subject: Subject) -> None:
    """`runtime_adapters` is true of it: it takes an adapter while it runs and drops it again, or refuses with a UsageError."""
    spec: BackendSpec = subject.spec
    if not spec.runtime_adapters:
        server = Server("http://127.0.0.1:9/v1", (served.NAME,))
        backend = subject.build()
        _must_refuse(lambda: backend.add_adapter(server, "x", subject.folder), "it says runtime_adapters=False, but add_adapter() works")
        _must_refuse(lambda: backend.drop_adapter(server, "x"), "it says runtime_adapters=False, but drop_adapter() works")
        return
    running = engine_of(subject)
    running.backend.add_adapter(running.server, "second", _adapter(subject))
    name = spec.adapter_model(served.NAME, "second")
    require(answer(running, name) != answer(running), f"the adapter '{name}', added while it runs, changes nothing")
    running.backend.drop_adapter(running.server, "second")
    try:
        answer(running, name)
    except SwiftError:
        return
    raise CheckFailed("it still answers for an adapter that was dropped")


def _must_refuse(call: Any, otherwise: str) -> None:
    try:
        call()
    except UsageError as error:
        require(error.hint, f"it refuses without a hint: {error.message}")
        return
    except Exception as error:
        raise CheckFailed(f"{otherwise}: it ends in {type(error).__name__}: {error}") from error
    raise CheckFailed(otherwise)
