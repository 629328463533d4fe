"""Put a feed of rollouts together for a task: engine, weights, rewards and prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import ceil
from typing import TYPE_CHECKING, Any

from swift_train.online import Session
from swift_train.processors import tokenizer_of
from swift_train.resume import run_folders
from swift_train.sampler import EpochSampler
from swift_train.schedule import total_steps
from swift_train.trainer import options_with_effect

from swift_core.contract import UsageError
from swift_core.system import paths
from swift_rollouts.engine import Engine
from swift_rollouts.feed import RolloutFeed
from swift_rollouts.options import RewardOptions, RolloutOptions
from swift_rollouts.policy import Policy
from swift_rollouts.prompts import prompt_facts
from swift_rollouts.rewards.choices import reward_choices
from swift_rollouts.rewards.process import RewardProcess
from swift_rollouts.sampling import GroupSampler
from swift_rollouts.scoring import Scorer
from swift_rollouts.server import server_of

if TYPE_CHECKING:
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples

    from swift_rollouts.generation import Generation
    from swift_rollouts.samples import RolloutSamples
    from swift_rollouts.sampling import Score

_WITHOUT_EFFECT = ("max_steps", "epochs", "schedule")  # options on which answers that are there already do not depend


def make_feed(
    prompts: Samples,
    session: Session,
    options: RolloutOptions,
    build: Callable[[Generation], tuple[Sequence[RolloutSamples], Mapping[str, float]]],
    *,
    score: Score | None = None,
) -> AbstractContextManager[StepSampler]:
    """Return the sampler of a run whose answers are sampled.

    Args:
        prompts: the encoded prompts.
        session: the running training.
        options: of the task.
        build: makes the samples of each step of a generation, and its metrics.
        score: scores groups of answers, for a task without rewards.

    Raises:
        UsageError: a step is no whole number of groups; a prompt with its answer does not fit into the context; the server does not fit.
    """
    count = options.num_generations if isinstance(options, RewardOptions) else 1
    rows = session.rows_per_step * options.steps_at_once
    if rows % count:
        raise UsageError(
            f"{rows} answers are sampled at once, which is no multiple of num_generations ({count})",
            code="RL-001",
            where="num_generations",
            hint="They are batch_size × gradient_accumulation_steps × processes; change one of them.",
        )
    _check_context(prompts, session, options)
    order = EpochSampler(len(prompts), rows // count, seed=options.seed, shuffle=options.shuffle)
    rollout, server = options.engine, server_of(session.run)
    engine, held = Engine(server, options), list[AbstractContextManager[Any]]()
    sampler: dict[str, Any] = {"score": score}
    if isinstance(options, RewardOptions) and session.strategy.writer:
        choices = reward_choices(options.reward_funcs)
        process = RewardProcess(choices, options.reward_timeout)
        scorer = Scorer(process, prompt_facts(session.run, prompts), options.reward_weights or [1.0] * len(choices))
        held.append(process)
        sampler = {"score": scorer, "names": [choice.name for choice in choices], "spread": scorer.has_spread}
        sampler["rounds"] = options.max_resample_times if options.dynamic_sample else 0
    if session.strategy.writer:
        ids = prompts[0].ids.tolist()
        tokenizer = tokenizer_of(session.trainer.processor)
        engine.check(ids, tokenizer.decode(ids), server.models[0])
    earlier = run_folders(session.resume.candidates[0]) if session.resume else []
    steps = options.steps_at_once
    length = steps * options.num_iterations
    total = total_steps(options, order.steps_per_epoch * length)
    groups = GroupSampler(
        folder=session.report.folder, order=order, prompts=lambda index: prompts[index].ids.tolist(), engine=engine, count=count,
        seed=options.seed, concurrency=rollout.concurrency, digest=_digest(prompts, session, options), **sampler,
    )  # fmt: skip
    return RolloutFeed(
        session, groups, Policy(session, server, rollout, earlier), lambda generation: _built(build, generation), steps=steps,
        iterations=options.num_iterations, ahead=rollout.ahead, last=ceil(total / length) - 1, earlier=earlier, held=held,
    )  # fmt: skip


def _built(build: Any, generation: Generation) -> tuple[list[RolloutSamples], Mapping[str, float]]:
    steps, metrics = build(generation)
    return list(steps), metrics


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


def _digest(prompts: Samples, session: Session, options: RolloutOptions) -> str:
    """Return a hash of what determines the answers."""
    run = session.run
    parts = {kind: options_with_effect(run.parts[kind]) for kind in ("task", "tuner", "optimizer") if kind in run.parts}
    parts["task"] = {name: value for name, value in parts["task"].items() if name not in _WITHOUT_EFFECT}
    rewards = [choice.digest() for choice in reward_choices(options.reward_funcs)] if isinstance(options, RewardOptions) else []
    sources = [source.hash for source in (run.model, *run.adapters.values()) if source]
    return paths.digest([parts, rewards, sources, prompts.digest(), options.engine.ahead, session.rows_per_step])[:32]
