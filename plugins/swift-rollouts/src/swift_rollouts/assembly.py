"""Put a feed of rollouts together for a task: engine, weights, rewards and prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from swift_train.resume import run_folders
from swift_train.sampler import EpochSampler
from swift_train.schedule import total_steps

from swift_core.contract import UsageError
from swift_rollouts.engine import Engine
from swift_rollouts.feed import RolloutFeed
from swift_rollouts.generation import evaluation_file, generation_file
from swift_rollouts.options import RewardOptions, RolloutOptions
from swift_rollouts.policy import Policy
from swift_rollouts.samplers import make_samplers
from swift_rollouts.server import server_of

if TYPE_CHECKING:
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples

    from swift_rollouts.generation import Generation
    from swift_rollouts.samples import RolloutSamples
    from swift_rollouts.sampling import Score


def make_feed(
    prompts: Samples,
    session: Session,
    options: RolloutOptions,
    build: Callable[[Generation], Sequence[RolloutSamples]],
    measure: Callable[[Generation], Mapping[str, float]],
    *,
    score: Score | None = None,
    evaluated: Callable[[Generation], RolloutSamples] | None = None,
) -> AbstractContextManager[StepSampler]:
    """Return the sampler of a run whose answers are sampled.

    Args:
        prompts: the encoded prompts.
        session: the running training.
        options: of the task.
        build: makes the samples of each step of a generation.
        measure: returns the metrics of a generation, the most important one first.
        score: scores groups of answers by something else than rewards, such as a teacher.
        evaluated: returns the answers to the held-out prompts as rows, if their loss is a metric.

    Raises:
        UsageError: a step is no whole number of groups; a prompt with its answer does not fit into the context; prompts of several turns
            have media; the server does not fit.
    """
    count = options.num_generations if isinstance(options, RewardOptions) else 1
    per_row = options.answers_per_row if isinstance(options, RewardOptions) else 1
    rows = session.rows_per_step * options.steps_at_once
    if rows % per_row:
        raise UsageError(
            f"{rows} answers are sampled at once, which is not a multiple of num_generations ({per_row})",
            code="RL-001",
            where="num_generations",
            hint="They are batch_size × gradient_accumulation_steps × processes; change one of them.",
        )
    for samples in (prompts, session.heldout) if session.heldout is not None else (prompts,):
        _check_context(samples, session, options)
        _check_media(samples, options)
    order = EpochSampler(len(prompts), rows // per_row, seed=options.seed, shuffle=options.shuffle)
    rollout, server = options.engine, server_of(session.run)
    engine = Engine(server, options, session.vocabulary)
    samplers = make_samplers(session, options, engine, score)
    if session.strategy.writer:
        samplers.check(prompts, server.models[0])
    rounds = options.max_resample_times if isinstance(options, RewardOptions) and options.dynamic_sample else 0
    groups = samplers.sampler(prompts, partial(generation_file, session.report.folder), order.step, count, rounds)
    evaluation = None
    if session.heldout is not None:
        held, number = session.heldout, options.num_generations_eval or count if isinstance(options, RewardOptions) else 1
        every = range(len(held))
        evaluation = samplers.sampler(held, partial(evaluation_file, session.report.folder), lambda _: every, number, 0)
    earlier = run_folders(session.resume.candidates[0]) if session.resume else []
    steps = options.steps_at_once
    length = steps * options.num_iterations
    total = total_steps(options, order.steps_per_epoch * length)
    return RolloutFeed(
        session, groups, Policy(session, server, rollout, earlier), build=lambda generation: list(build(generation)), measure=measure,
        steps=steps, iterations=options.num_iterations, ahead=rollout.ahead, last=ceil(total / length) - 1,
        epoch=order.steps_per_epoch * length, evaluation=evaluation, evaluated=evaluated, earlier=earlier, held=samplers.processes,
    )  # fmt: skip


def _check_context(prompts: Samples, session: Session, options: RolloutOptions) -> None:
    longest = int(prompts.lengths.argmax())
    tokens = int(prompts.lengths[longest])
    if tokens + options.max_completion_length > session.context:
        raise UsageError(
            f"a prompt of {tokens} tokens and max_completion_length {options.max_completion_length} exceed the model's context of "
            f"{session.context} tokens",
            code="RL-002",
            where=prompts.origin(longest),
            hint="Set a smaller --max-completion-length; or --max-length and --truncation left or drop for the prompts.",
        )


def _check_media(prompts: Samples, options: RolloutOptions) -> None:
    if (options.multi_turn_scheduler or options.tools) and prompts.media_counts.any():
        raise UsageError(
            "a row has media, and the conversation goes on after the first answer",
            code="RL-047",
            where=prompts.origin(int(prompts.media_counts.argmax())),
            hint="Omit --multi-turn-scheduler and --tools, or drop such rows.",
        )
