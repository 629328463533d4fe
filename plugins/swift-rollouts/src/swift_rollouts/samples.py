"""Sampled answers as the samples of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from swift_train.media.files import MediaFile
from swift_train.samples import Sample, Samples

from swift_rollouts.generation import Answer, Group


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A prompt with an answer.

    Attributes:
        prompt: token ids of the prompt.
        answer: the answer.
        columns: numbers of the sequence by name, or of each sampled token.
        origin: the prompt's file and row, as text.
        media: files of the prompt.
    """

    prompt: Sequence[int]
    answer: Answer
    columns: Mapping[str, float | NDArray[np.float32]] = field(default_factory=dict)
    origin: str = ""
    media: tuple[MediaFile, ...] = ()

    @classmethod
    def of(cls, prompts: Samples, group: Group, answer: Answer, columns: Mapping[str, float | NDArray[np.float32]]) -> RolloutRow:
        """Return the row of an answer of a group; `prompts` are those that the group's index counts."""
        return cls(group.ids, answer, columns, prompts.origin(group.prompt), prompts[group.prompt].media)

    def sequence(self) -> Sample:
        """Return the sequence; the sampled tokens have weight 1."""
        weights = np.zeros(len(self.prompt) + len(self.answer.ids), np.float32)
        weights[len(self.prompt) :] = self.answer.mask or 1.0
        return Sample(np.array([*self.prompt, *self.answer.ids], np.int32), weights, self.origin, self.columns, self.media)


class RolloutSamples(Samples):
    """The samples of a step. Rows from which nothing is learned need not be among them; they are counted nevertheless.

    Args:
        rows: the rows to compute, at least one.
        sampled: number of rows of the step, with those that are not computed.
        tokens: sampled tokens of all rows of the step.
    """

    def __init__(self, rows: Sequence[RolloutRow], *, sampled: int, tokens: int) -> None:
        self.rows, self.sampled, self.tokens = list(rows), float(sampled), float(tokens)
        self.stores, self.columns = [], {}
        self.lengths = np.array([len(row.prompt) + len(row.answer.ids) for row in rows], np.int64)
        self.supervised = np.array([row.answer.sampled for row in rows], np.int64)
        self.counts = np.ones(len(rows), np.int64)
        self.media_counts = np.array([len(row.media) for row in rows], np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def sequences(self, index: int) -> list[Sample]:
        """Return the one sequence of a row."""
        return [self.rows[index].sequence()]

    def same_prompt(self, one: int, other: int) -> bool:
        """Return whether two rows are answers to one prompt."""
        return self.rows[one].prompt == self.rows[other].prompt

    def origin(self, index: int) -> str:
        """Return the prompt's file and row as text."""
        return self.rows[index].origin
