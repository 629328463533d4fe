"""A generation: the answers that are sampled at once, with their rewards, and its file in the run folder.

`rollouts/generation-000012.jsonl` has a line with the facts of the generation, and a line for each group of answers to a prompt. It is
written whole or not at all; a resumed run reads it and samples nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swift_core.system import write_text

FOLDER = "rollouts"  # in the run folder


@dataclass(slots=True)
class Answer:
    """A sampled answer.

    Attributes:
        ids: token ids after the prompt, as they were sampled; never tokenised again.
        logprobs: log-probability of each token, according to the engine.
        text: of the answer, without the token that ends it; of the last turn, if there are several.
        finish: why it ended: "stop", or "length" if it was cut.
        mask: 1 for each token that the model has sampled, 0 for those of a tool's result; empty: it has sampled all of them.
        rewards: of each reward function; None from one that does not apply.
        teacher: log-probability of each token, according to a teacher.
        turns: the messages after the prompt, if a scheduler or tools may reply.
        environment: sum of the rewards that the scheduler gave; None: it gave none.
        given: whether it is the row's own answer, which no engine has sampled.
    """

    ids: list[int]
    logprobs: list[float]
    text: str
    finish: str
    mask: list[int] = field(default_factory=list)
    rewards: list[float | None] = field(default_factory=list)
    teacher: list[float] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    environment: float | None = None
    given: bool = False

    @property
    def sampled(self) -> int:
        """Number of tokens that the model has sampled."""
        return sum(self.mask) if self.mask else len(self.ids)

    def of_sampled(self, values: Sequence[float]) -> NDArray[np.float32]:
        """Return those of a value per token that belong to tokens that the model has sampled, float32."""
        every = np.array(values, np.float32)
        return every[np.array(self.mask, np.bool_)] if self.mask else every


@dataclass(slots=True)
class Group:
    """The answers to a prompt: its index among the prompts, its token ids, and the seed of the sampling."""

    prompt: int  # index among the prompts
    ids: list[int]  # tokens of the prompt
    seed: int  # of the sampling
    answers: list[Answer] = field(default_factory=list)  # sampled so far


@dataclass(slots=True)
class Generation:
    """Groups of answers that were sampled at once.

    Attributes:
        number: counted from 0.
        version: of the weights that sampled it: the number of generations that had been trained.
        digest: of what determines the answers; a run with another one does not use them.
        seconds: duration of the sampling and the rewards.
        rewards: names of the reward functions.
        replaced: groups without spread that were replaced (dynamic sampling).
        groups: the groups.
    """

    number: int
    version: int
    digest: str = ""
    seconds: float = 0.0
    rewards: Sequence[str] = ()
    replaced: int = 0
    groups: list[Group] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the answers, whatever they are trained on."""
        answers = [answer for group in self.groups for answer in group.answers]
        turns = [sum(message["role"] == "assistant" for message in answer.turns) for answer in answers]
        return {
            "completions/length": float(np.mean([answer.sampled for answer in answers])),
            "completions/truncated": float(np.mean([answer.finish == "length" for answer in answers])),
            **({"completions/turns": float(np.mean(turns))} if any(turns) else {}),
            "staleness": float(self.number - self.version),
            "rollout_seconds": self.seconds,
        }

    def write(self, path: Path) -> None:
        """Write the file."""
        facts = {key: value for key, value in asdict(self).items() if key != "groups"}
        lines = [facts, *(asdict(group) for group in self.groups)]
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    @classmethod
    def read(cls, path: Path) -> Generation:
        """Read a file that `write` wrote."""
        facts, *groups = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return cls(**facts, groups=[_group(line) for line in groups])


def generation_file(folder: Path, number: int) -> Path:
    """Return the path of a generation's file in a run folder."""
    return folder / FOLDER / f"generation-{number:06d}.jsonl"


def evaluation_file(folder: Path, step: int) -> Path:
    """Return the path of the file with the answers to held-out prompts after a step."""
    return folder / FOLDER / f"evaluation-{step:06d}.jsonl"


def _group(line: dict[str, Any]) -> Group:
    return Group(**{**line, "answers": [Answer(**answer) for answer in line["answers"]]})
