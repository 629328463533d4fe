"""Rows for a quantizer: tokenised as training tokenises them, chosen at random but always the same, counted in tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_core.data.task import commonest_kind
from swift_core.errors import UsageError
from swift_core.registry import registry
from swift_train.data import load_samples
from swift_train.job import preprocessing_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_core.reporting import Report
    from swift_core.roles import Loaded
    from swift_core.run import DataChoice, Run

    Rows = list[NDArray[np.int32]]

_TASKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {"chat": ("sft", {"mask": {"turns": "everything"}}), "text": ("pretrain", {})}
"""Whose tokens the rows of a kind become; all of a conversation counts, so that one that is cut has something left."""


def calibration_rows(
    run: Run, choices: Sequence[DataChoice], shapes: Loaded, report: Report, *, tokens: int, max_length: int, seed: int, where: str
) -> Rows:
    """Token ids of whole rows, until there are `tokens` of them; rows longer than `max_length` are cut.

    Raises:
        UsageError: the rows are neither conversations nor texts, or have fewer tokens in all. `where` is the option that sets the number.
    """
    kind = commonest_kind(choices, run.options["data"])
    if kind not in _TASKS:
        problem = f"'{choices[0].asked}' has {kind or 'unknown'} rows; conversations or texts are wanted"
        raise UsageError(problem, where=where.partition(".")[0], hint="Name another data set, or rename its fields: --data.columns.")
    reading = preprocessing_of(run, registry().choose("task", *_TASKS[kind]).build(), shapes)
    cut = replace(reading, truncation="right", max_length=min(max_length, reading.max_length))
    samples = load_samples(choices, cut, report, seed=seed)
    there = int(samples.lengths.sum())
    if there < tokens:
        raise UsageError(
            f"the rows have {there:,} tokens in all, and {tokens:,} are wanted", where=where, hint=f"Name more rows, or --{where} {there}."
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    enough = int(np.searchsorted(np.cumsum(samples.lengths[order]), tokens)) + 1
    return [samples[int(place)].ids for place in order[:enough]]


def write_rows(rows: Rows, file: Path) -> None:
    """One JSON object a line: `ids`. A quantizer in another environment reads it without a tokenizer."""
    file.write_text("".join(json.dumps({"ids": row.tolist()}) + "\n" for row in rows), encoding="utf-8")
