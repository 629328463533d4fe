"""The verbs sample and rollout, and the report section of rollouts."""

from __future__ import annotations

from dataclasses import replace

from swift_serve.plugin import SERVE

from swift_core.contract import Ref, SectionSpec, VerbSpec, hookimpl

_BESIDE = "schedulers, rewards and templates run beside the training: give it to swift grpo"
_OF_THE_TRAINING = ("multi_turn_scheduler", "max_turns", "external_plugins", "use_gym_env", "gym_env", "enable_thinking", "max_length")


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return sample and rollout."""
    return [
        VerbSpec(
            name="sample",
            summary="Sample several answers to each prompt, and keep those that rewards prefer",
            options=Ref("swift_rollouts.sample_options:SampleOptions"),
            takes=("checkpoint", "server", "rows"),
            gives="rows",
            positional="model",
            parts={"backend": "transformers"},
            job=Ref("swift_rollouts.sample:sample"),
            prepare=(Ref("swift_data.resolving:prepare"), Ref("swift_rollouts.sample:prepare")),
            carry_out=Ref("swift_serve.temporary_server:carry_out"),
            spellings={"infer_backend": "backend", "sampler_engine": "backend"},
        ),
        replace(
            SERVE,
            name="rollout",
            summary="Serve a model for online training, which changes its adapters or weights",
            also=(),
            options=Ref("swift_rollouts.serve_options:RolloutServeOptions"),
            parts={"backend": "vllm"},
            prepare=(Ref("swift_rollouts.serving:prepare"),),
            ignored={**SERVE.ignored, **dict.fromkeys(_OF_THE_TRAINING, _BESIDE)},
            unsupported={name: hint for name, hint in SERVE.unsupported.items() if name not in _OF_THE_TRAINING},
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
