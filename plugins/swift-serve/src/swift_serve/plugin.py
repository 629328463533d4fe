"""The verbs that serve a model or talk to one: serve, ask, infer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem, Ref, Run, SectionSpec, VerbSpec, hookimpl
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
    parts={"backend": "transformers"},
    job=Ref("swift_serve.serve:serve"),
    check=Ref("swift_serve.signatures:problems"),
    spellings=SERVING,
    ignored=IGNORED,
    unsupported={**UNSUPPORTED, **BY_CLIENTS},
    command=Ref("swift_serve.commands.serve:ServeCommand"),
)

ASK = VerbSpec(
    name="ask",
    summary="Put questions to a checkpoint or a server, and keep the answers",
    options=Ref("swift_serve.options:AskOptions"),
    takes=("checkpoint", "server", "rows"),
    gives="answers",
    positional="model",
    parts={"backend": "transformers"},
    job=Ref("swift_serve.ask:ask"),
    prepare=(Ref("swift_data.resolving:prepare"),),
    carry_out=Ref("swift_serve.temporary_server:carry_out"),
    spellings=SPELLINGS,
    ignored=IGNORED,
    unsupported=UNSUPPORTED,
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
    """Refuse checkpoints that are no language models where they would be served or evaluated as one."""
    if run.parts.keys() & {"backend", "evaluator"}:
        for where, source in {"model": run.model, **{f"adapter.{name}": source for name, source in run.adapters.items()}}.items():
            if source and Checkpoint.at(source.path).head:
                hint = "Load it with transformers (AutoModelForSequenceClassification), an embedding model with sentence-transformers."
                message = "this model gives scores or vectors of texts (reward model, classifier or embedding model); it can't generate any"
                yield Problem(code="SERVE-089", where=where, message=message, hint=hint)


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the answers."""
    return [
        SectionSpec(
            name="answers", title="Answers", summary="The same questions answered by several models, with the differences marked",
            order=300, content=Ref("swift_serve.report:content"),
        )
    ]  # fmt: skip
