"""The verbs sample and rollout, and the report section of rollouts."""

from __future__ import annotations

from swift_core.contract import Ref, SectionSpec, VerbSpec, hookimpl
from swift_rollouts.other_tools import IGNORED, SAMPLE_IGNORED, SAMPLE_UNSUPPORTED


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return sample and rollout."""
    return [
        VerbSpec(
            name="sample",
            summary="Sample several answers per prompt, and keep those with the highest rewards",
            options=Ref("swift_rollouts.sample_options:SampleOptions"),
            takes=("checkpoint", "server", "rows"),
            gives="rows",
            positional="model",
            parts={"backend": "transformers"},
            job=Ref("swift_rollouts.sample:sample"),
            prepare=(Ref("swift_data.resolving:prepare"), Ref("swift_rollouts.sample:prepare")),
            carry_out=Ref("swift_serve.temporary_server:carry_out"),
            spellings={"infer_backend": "backend", "sampler_engine": "backend"},
            ignored=SAMPLE_IGNORED,
            unsupported=SAMPLE_UNSUPPORTED,
            rewrite=Ref("swift_rollouts.sample_words:rewrite"),
        ),
        VerbSpec(
            name="rollout",
            summary="Serve a model for online training, which updates its weights or adapters",
            options=Ref("swift_rollouts.serve_options:RolloutServeOptions"),
            takes=("checkpoint",),
            gives="server",
            positional="model",
            main="backend",
            parts={"backend": "vllm"},
            job=Ref("swift_serve.serve:serve"),
            prepare=(Ref("swift_rollouts.serving:prepare"),),
            check=Ref("swift_serve.signatures:problems"),
            spellings={"infer_backend": "backend"},
            ignored=IGNORED,
            command=Ref("swift_serve.commands.serve:ServeCommand"),
        ),
    ]


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the rollouts."""
    return [
        SectionSpec(
            name="rollouts", title="Rollouts", summary="Sampled answers of online training with their rewards", order=250,
            content=Ref("swift_rollouts.report:content"),
        )
    ]  # fmt: skip
