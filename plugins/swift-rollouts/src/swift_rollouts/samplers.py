"""Everything that the writing process needs to sample and score the answers of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_http.tools import PARSERS
from swift_train.build import base_of
from swift_train.chat_template import ChatTemplate
from swift_train.processors import tokenizer_of
from swift_train.trainer import options_with_effect

from swift_core.checkpoints import family_of
from swift_core.system import paths
from swift_rollouts.chat_prompts import ChatPrompts
from swift_rollouts.given import GivenAnswers
from swift_rollouts.options import RewardOptions, RolloutOptions
from swift_rollouts.prompts import PromptFacts, prompt_facts
from swift_rollouts.rewards.process import RewardProcess
from swift_rollouts.rewards.reward import reward_choices, rewards_of_run
from swift_rollouts.sampling import GroupSampler
from swift_rollouts.scoring import Scorer
from swift_rollouts.turns.choices import scheduler_choice, tool_choices
from swift_rollouts.turns.conversations import Conversations
from swift_rollouts.turns.process import TurnProcess
from swift_rollouts.turns.tools import tool_schemas

if TYPE_CHECKING:
    from swift_train.online import Session
    from swift_train.samples import Samples

    from swift_rollouts.engine import Engine
    from swift_rollouts.generation import Answer, Group
    from swift_rollouts.sampling import Answers, Score

_WITHOUT_EFFECT = ("max_steps", "epochs", "schedule")  # options on which answers that are there already do not depend
_PARSER = "hermes"  # of families that name none: <tool_call>{"name": …, "arguments": …}</tool_call>


@dataclass(frozen=True, slots=True)
class Samplers:
    """Makes the samplers of a run; its processes are to be entered before they sample.

    Attributes:
        session: the running training.
        options: of the task.
        engine: is asked for answers.
        score: scores groups of answers by something else than rewards, such as a teacher.
        rewards: the process of the rewards, if there are any.
        turns: the process of the scheduler and the tools, if there are any.
    """

    session: Session
    options: RolloutOptions
    engine: Engine
    score: Score | None
    rewards: RewardProcess | None
    turns: TurnProcess | None
    _facts: dict[int, Sequence[PromptFacts]] = field(default_factory=dict)

    @property
    def processes(self) -> list[AbstractContextManager[Any]]:
        """The processes to enter."""
        return [process for process in (self.rewards, self.turns) if process]

    def check(self, prompts: Samples, model: str) -> None:
        """Check the engine with the first prompt; raises as `Engine.check` does."""
        ids, tokenizer = prompts[0].ids.tolist(), tokenizer_of(self.session.trainer.processor)
        text = tokenizer.decode(ids)
        self.engine.check(ids, text, tokenizer.encode(text, add_special_tokens=False), model, self._chats(prompts).fields(0))

    def sampler(
        self, prompts: Samples, file: Callable[[int], Path], chosen: Callable[[int], Sequence[int]], count: int, rounds: int
    ) -> GroupSampler:
        """Return a sampler.

        Args:
            prompts: the encoded prompts.
            file: returns the file of a generation.
            chosen: returns the prompts of a generation.
            count: answers to a prompt.
            rounds: maximum rounds of replacing groups without spread.
        """
        options, more = self.options, dict[str, Any]()
        facts = self._of(prompts)
        if self.rewards and isinstance(options, RewardOptions):
            names = [choice.name for choice in rewards_of_run(options)]
            scorer = Scorer(self.rewards, facts, options.reward_weights or [1.0] * len(names), options.missing_eos_penalty)
            more = {"names": names, "spread": scorer.has_spread, "rounds": rounds, "score": _both(scorer, self.score)}
        elif self.score:
            more = {"score": self.score}
        answers: Answers = partial(_answers, self.engine, self._chats(prompts))
        if self.turns:
            answers = self._conversations(self.turns, facts, self._tools()).answers
        if options.sampled_share < 1:
            answers = GivenAnswers(
                sampled=answers, share=options.sampled_share, template=self._template(), facts=facts, system=options.system,
                longest=options.max_completion_length,
            ).answers  # fmt: skip
        return GroupSampler(
            file=file, chosen=chosen, prompts=prompts, answers=answers, count=count, seed=options.seed,
            concurrency=options.engine.concurrency, digest=_digest(prompts, self.session, options), **more,
        )  # fmt: skip

    def _conversations(self, turns: TurnProcess, facts: Any, tools: Sequence[Any]) -> Conversations:
        family = family_of(base_of(self.session.run))
        parser = PARSERS[family.tool_parser if family.tool_parser in PARSERS else _PARSER] if tools else None
        return Conversations(
            engine=self.engine,
            process=turns,
            template=self._template(),
            facts=facts,
            tools=tools,
            parser=parser,
            max_turns=self.options.max_turns,
            last_turn=self.options.mask.turns == "last",
        )

    def _of(self, prompts: Samples) -> Sequence[PromptFacts]:
        """Return the facts of prompts, in the process that samples."""
        if id(prompts) not in self._facts:
            self._facts[id(prompts)] = prompt_facts(self.session.run, prompts) if self.session.strategy.writer else []
        return self._facts[id(prompts)]

    def _chats(self, prompts: Samples) -> ChatPrompts:
        return ChatPrompts(self._of(prompts), self.options.system, self._tools())

    def _tools(self) -> list[dict[str, Any]]:
        return tool_schemas(tool_choices(self.options.tools, self.options.modules), self.options.turn_timeout)

    def _template(self) -> ChatTemplate:
        return ChatTemplate(tokenizer_of(self.session.trainer.processor), family_of(base_of(self.session.run)).stop_tokens)


def make_samplers(session: Session, options: RolloutOptions, engine: Engine, score: Score | None) -> Samplers:
    """Return the samplers of a run; `score` scores groups of answers by something else than rewards, such as a teacher."""
    rewards = None
    if isinstance(options, RewardOptions):
        rewards = RewardProcess(rewards_of_run(options), options.reward_timeout)
    scheduler = scheduler_choice(options.multi_turn_scheduler, options.modules)
    tools = tool_choices(options.tools, options.modules)
    turns = TurnProcess(scheduler, tools, options.turn_timeout) if scheduler or tools else None
    return Samplers(session, options, engine, score, rewards, turns)


def _both(first: Score, second: Score | None) -> Score:
    """Return a function that scores groups twice."""
    if second is None:
        return first

    def score(groups: Sequence[Group]) -> None:
        first(groups)
        second(groups)

    return score


def _answers(
    engine: Engine, chats: ChatPrompts, prompt: int, ids: Sequence[int], count: int, *, model: str, seed: int
) -> list[Answer]:  # fmt: skip
    """Return answers of one turn."""
    return engine.answers(ids, count, model=model, seed=seed, chat=chats.fields(prompt))


def _digest(prompts: Samples, session: Session, options: RolloutOptions) -> str:
    """Return a hash of what determines the answers."""
    run = session.run
    parts = {kind: options_with_effect(run.parts[kind]) for kind in ("task", "tuner", "optimizer") if kind in run.parts}
    parts["task"] = {name: value for name, value in parts["task"].items() if name not in _WITHOUT_EFFECT}
    code = reward_choices(options.reward_funcs, options.modules) if isinstance(options, RewardOptions) else []
    code += tool_choices(options.tools, options.modules)
    if scheduler := scheduler_choice(options.multi_turn_scheduler, options.modules):
        code.append(scheduler)
    sources = [source.hash for source in (run.model, *run.adapters.values()) if source]
    known = [choice.digest() for choice in code]
    return paths.digest([parts, known, sources, prompts.digest(), options.engine.ahead, session.rows_per_step])[:32]
