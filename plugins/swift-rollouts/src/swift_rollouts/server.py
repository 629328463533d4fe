"""The engine of a run: chosen when the run is prepared, and running while it is carried out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_serve.client import Client
from swift_serve.plugin import SERVE

from swift_core.contract import BackendSpec, Choice, Ref, Run, RunResult, Server, TunerSpec, UsageError
from swift_core.environments import python_for
from swift_core.options import Invalid
from swift_core.plugins import registry
from swift_core.runs import Context, execute_run, running_server
from swift_rollouts import reward_model
from swift_rollouts.engine_options import Rollout
from swift_rollouts.policy import FOLDER
from swift_rollouts.rewards.process import check_rewards
from swift_rollouts.rewards.reward import MODEL, reward_choices, reward_names
from swift_rollouts.turns.choices import scheduler_choice, tool_choices
from swift_rollouts.turns.process import check_turns

if TYPE_CHECKING:
    from swift_core.runs import Draft

_SHARED = ("runs", "hub", "offline", "family", "allow_other_base")


def rollout_of(options: Mapping[str, Any]) -> Rollout:
    """Return the engine that a task's options name."""
    given = options["rollout"]
    return Rollout(name=given) if isinstance(given, str) else Rollout(**given)


def prepare(draft: Draft) -> None:
    """Choose the backend, and check the rewards, before anything is downloaded (`TaskSpec.prepare`).

    Raises:
        UsageError: there is no such backend, its options are wrong, or its engine is not installed; a reward does not exist or work.
    """
    options = draft.parts["task"].options
    rollout = rollout_of(options)
    if "reward_funcs" in options:
        _check_rewards(options)
        reward_model.fetch(draft)
    modules = options["modules"]
    scheduler, tools = scheduler_choice(options["multi_turn_scheduler"], modules), tool_choices(options["tools"], modules)
    if scheduler or tools:
        check_turns(scheduler, tools, float(options["turn_timeout"]))
    adapter = draft.known.spec(draft.parts["tuner"], TunerSpec).trains == "adapter"
    if rollout.ahead and not adapter:
        hint = "Train an adapter (--tuner lora), or omit --rollout.ahead."
        raise UsageError(
            "without an adapter the engine has one version of the weights at a time", code="RL-043", where="rollout.ahead", hint=hint
        )
    if rollout.is_url:
        if rollout.backend_options:
            raise UsageError(
                "the options of a running server can't be changed",
                code="RL-022",
                where="rollout.options",
                hint="Set them when you start the server.",
            )
        return
    entry = draft.known.entry("backend", rollout.name, where="rollout")
    spec = entry.spec
    assert isinstance(spec, BackendSpec)
    if not adapter and not hasattr(Ref(str(spec.factory)).load(), "reload"):
        able = ", ".join(each.name for each in draft.known.all(BackendSpec) if hasattr(Ref(str(each.factory)).load(), "reload"))
        hint = f"Train an adapter (--tuner lora), or choose a backend that can: {able}."
        raise UsageError(
            f"the backend '{rollout.name}' can't replace all of its weights while it runs", code="RL-032", where="tuner", hint=hint
        )
    if adapter and not spec.runtime_adapters:
        able = ", ".join(each.name for each in draft.known.all(BackendSpec) if each.runtime_adapters)
        message = f"the backend '{rollout.name}' can't change adapters while it runs"
        raise UsageError(message, code="RL-023", where="rollout", hint=f"Backends that can: {able}.")
    values = rollout.backend_options
    known = Ref(str(spec.options)).load().model_fields if spec.options else {}
    if adapter and "max_lora_rank" in known and (rank := draft.parts["tuner"].options.get("rank")):
        values.setdefault("max_lora_rank", rank)
    if "logprobs_mode" in known:
        values.setdefault("logprobs_mode", "processed_logprobs")
    try:
        choice = draft.known.choose("backend", rollout.name, values, where="rollout")
    except Invalid as invalid:
        raise invalid.with_context(where="rollout.options") from None
    if spec.isolated:
        choice = replace(choice, python=python_for(entry, draft.options.get("envs", {})))
    draft.parts["backend"] = choice


def _check_rewards(options: Mapping[str, Any]) -> None:
    choices = reward_choices(options["reward_funcs"], options["modules"])
    if options["reward_model"] or options["reward_server"]:
        if any(choice.name == MODEL for choice in choices):
            raise UsageError("the reward model is named twice", code="RL-051", where="reward_funcs", hint="Name it once.")
    elif not choices:
        hint = f"Name one with --reward-funcs: {', '.join(sorted(reward_names()))}; or FILE.py:FUNCTION."
        hint += " swift gkd learns from a teacher alone."
        raise UsageError("no reward given", code="RL-025", where="reward_funcs", hint=hint)
    check_rewards(choices, float(options["reward_timeout"]))


def carry_out(run: Run, context: Context) -> RunResult:
    """Carry out a run with its engine (`TaskSpec.carry_out`): a running server, or one that is started for it."""
    rollout = rollout_of(run.part("task").options)
    with reward_model.served(run, context) as (scored, inner):
        return _with_engine(scored, inner, rollout)


def _with_engine(run: Run, context: Context, rollout: Rollout) -> RunResult:
    if rollout.is_url:
        return execute_run(replace(run, server=Server(rollout.url, (rollout.model,) if rollout.model else ())), context)
    folder = context.make_folder(run)
    backend = _with_folder(run.part("backend"), rollout.folder or str((folder / FOLDER).resolve()))
    run = replace(run, parts={**run.parts, "backend": backend})
    with running_server(serve_run(run), context.runs, watch=context.watch, folder=folder / "server") as server:
        return execute_run(replace(run, server=server), replace(context, folder=folder))


def serve_run(run: Run) -> Run:
    """Return the run that serves the base model of a training run."""
    from swift_serve.options import ServeOptions

    adapter = registry().spec(run.part("tuner"), TunerSpec).trains == "adapter"
    shared = {key: run.options[key] for key in _SHARED if key in run.options}
    values = {**shared, "model": run.model.reference if run.model else "", "port": 0, "parity": "warn"}
    values |= {"runtime_adapters": adapter, "runtime_weights": not adapter}
    options = ServeOptions.checked(values).model_dump(mode="json")
    options["trust_remote_code"] = run.options["trust_remote_code"]
    parts = {"backend": run.part("backend")}
    return replace(run, verb=SERVE.name, job=str(SERVE.job), options=options, parts=parts, adapters={}, datasets=(), validation=())


def server_of(run: Run) -> Server:
    """Return the server of a run, with its API key and its models.

    Raises:
        UsageError: the run has no server.
        SwiftError: the server does not answer.
    """
    if run.server is None:
        raise UsageError(
            "the run has no rollout server", code="RL-024", where="rollout", hint="Start it with swift, which starts the server too."
        )
    server = replace(run.server, api_key=os.environ.get(rollout_of(run.part("task").options).api_key_env))
    return server if server.models else replace(server, models=tuple(Client(server).models()))


def _with_folder(choice: Choice, folder: str) -> Choice:
    """Let an engine that loads weights only from named folders load those of the run."""
    if "adapter_folder" not in choice.options:
        return choice
    return replace(choice, options={**choice.options, "adapter_folder": [*choice.options["adapter_folder"], folder]})
