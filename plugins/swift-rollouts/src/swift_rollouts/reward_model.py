"""The reward model of a run: fetched and checked when the run is prepared, and served while it is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_serve.options import ServeOptions
from swift_serve.plugin import SERVE

from swift_core.checkpoints import Checkpoint, Fetcher
from swift_core.contract import Run, UsageError
from swift_core.plugins import registry
from swift_core.runs import running_server

if TYPE_CHECKING:
    from swift_core.runs import Context, Draft

_HEAD = "score:1"
_FOLDER = "reward-server"  # in the run folder
_SHARED = ("runs", "hub", "offline")


def fetch(draft: Draft) -> None:
    """Fetch the reward model that the task's options name, if they name one.

    Raises:
        UsageError: it can't be found, or is no reward model.
    """
    choice = draft.parts["task"]
    options: Any = choice.options
    if not options.get("reward_model"):
        return
    fetcher = Fetcher(draft.known, loader=draft.parts.get("loader"), hub=draft.options["hub"], progress=draft.progress)
    source = fetcher.source(options["reward_model"], "reward_model")
    found = Checkpoint.at(source.path)
    if found.spec.adapter:
        hint = f"Merge it: swift merge {options['reward_model']}"
        raise UsageError("the reward model is an adapter, and a merged model is needed", code="RL-052", where=source.path, hint=hint)
    if found.head != _HEAD:
        message = f"it is no reward model: a head of one score is needed, and it has {found.head or 'that of a language model'}"
        raise UsageError(message, code="RL-050", where=source.path, hint="Train one: swift rm.")
    draft.parts["task"] = replace(choice, options={**options, "reward_model": source.path})
    draft.notes += fetcher.notes


@contextmanager
def served(run: Run, context: Context) -> Iterator[tuple[Run, Context]]:
    """While the context lasts, the reward model of a run is served; give the run with the URL of its server, and its context."""
    choice = run.part("task")
    options: Any = choice.options
    if not options.get("reward_model") or options["reward_server"]:
        yield run, context
        return
    folder = context.make_folder(run)
    with running_server(_serve_run(run, options["reward_model"]), context.runs, watch=context.watch, folder=folder / _FOLDER) as server:
        task = replace(choice, options={**options, "reward_server": server.url})
        yield replace(run, parts={**run.parts, "task": task}), replace(context, folder=folder)


def _serve_run(run: Run, path: str) -> Run:
    """Return the run that serves the reward model, by the embedded server."""
    from swift_train.build import source_of

    shared = {key: run.options[key] for key in _SHARED if key in run.options}
    options = ServeOptions.checked({**shared, "model": path, "port": 0, "parity": "warn"}).model_dump(mode="json")
    options["trust_remote_code"] = run.options["trust_remote_code"]
    source = source_of(Path(path), hash=Checkpoint.at(path).hash())
    parts = {"backend": registry().choose("backend", "transformers")}
    serving = replace(run, verb=SERVE.name, job=str(SERVE.job), model=source, options=options, parts=parts)
    return replace(serving, adapters={}, datasets=(), validation=(), server=None)
