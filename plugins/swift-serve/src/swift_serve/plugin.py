"""The verbs that serve a model or talk to one: serve, ask, infer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from swift_core.contract import BackendSpec, Problem, Ref, Run, SectionSpec, VerbSpec, hookimpl
from swift_core.plugins import registry
from swift_serve.other_tools import BY_CLIENTS, IGNORED, SERVING, SPELLINGS, UNSUPPORTED

SERVE = VerbSpec(
    name="serve",
    summary="Serve a checkpoint behind an OpenAI-compatible API",
    also=("deploy",),
    options=Ref("swift_serve.options:ServeOptions"),
    takes=("checkpoint",),
    gives="server",
    positional="model",
    main="backend",
    parts={"backend": "transformers", "launcher": "local"},
    job=Ref("swift_serve.serve:serve"),
    check=Ref("swift_serve.serve_checks:problems"),
    spellings=SERVING,
    ignored={**IGNORED, "task_type": "it is read from the checkpoint", "use_chat_template=true": "it is the default"},
    unsupported={**UNSUPPORTED, **BY_CLIENTS},
    rewrite=Ref("swift_data.external_plugins:rewrite"),
    command=Ref("swift_serve.commands.serve:ServeCommand"),
)

ASK = VerbSpec(
    name="ask",
    summary="Send questions to a checkpoint or a server, and save the answers",
    options=Ref("swift_serve.options:AskOptions"),
    takes=("checkpoint", "server", "rows"),
    gives="answers",
    positional="model",
    parts={"backend": "transformers"},
    job=Ref("swift_serve.ask:ask"),
    prepare=(Ref("swift_data.resolving:prepare"), Ref("swift_serve.held_out:prepare")),
    carry_out=Ref("swift_serve.temporary_server:carry_out"),
    spellings=SPELLINGS,
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
    rewrite=Ref("swift_data.external_plugins:rewrite"),
    command=Ref("swift_serve.commands.ask:AskCommand"),
)

INFER = replace(
    ASK,
    name="infer",
    summary="Chat with a model, or answer a file of questions",
    also=("chat",),
    command=Ref("swift_serve.commands.infer:InferCommand"),
    interactive=True,
)


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return serve, ask and infer."""
    return [SERVE, ASK, INFER]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse checkpoints with a head where the engine does not serve it, or where text is evaluated."""
    if not run.parts.keys() & {"backend", "evaluator"}:
        return
    from swift_serve.head_tasks import ROUTES, answer_kind

    named = {"model": run.model, **{f"adapter.{name}": source for name, source in run.adapters.items()}}
    sources = {where: source for where, source in named.items() if source}
    kinds = {where: answer_kind(Path(source.path)) for where, source in sources.items()}
    for where, kind in kinds.items():
        if kind == "text":
            continue
        if "evaluator" in run.parts:
            message = f"this model computes values for texts ({kind}) and can't generate text"
            hint = "Evaluate it on rows with labels: swift infer MODEL --dataset ROWS."
            yield Problem(code="SERVE-094", where=where, message=message, hint=hint)
            continue
        yield from unserved_head(run, where, ROUTES[kind])


def unserved_head(run: Run, where: str, route: str) -> Iterator[Problem]:
    """Yield the problems with serving a head by the run's backend."""
    specs = registry().all(BackendSpec)
    able = [spec.name for spec in specs if route in spec.serves]
    spec = registry().spec(run.part("backend"), BackendSpec)
    if route not in spec.serves:
        message = f"{spec.name} does not serve models with this head ({route})"
        yield Problem(code="SERVE-089", where=where, message=message, hint=f"Use --backend {' or '.join(able)}.")
    elif where.startswith("adapter") and spec.name != SERVE.parts["backend"]:
        message = f"{spec.name} does not serve an adapter with a head of its own"
        yield Problem(code="SERVE-093", where=where, message=message, hint="Merge it: swift merge ADAPTER; then serve the merged model.")


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the answers."""
    return [
        SectionSpec(
            name="answers", title="Answers", summary="The same questions answered by several models, with the differences marked",
            order=300, content=Ref("swift_serve.report:content"),
        )
    ]  # fmt: skip
