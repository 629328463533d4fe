"""Calibration sets of quantizers: whole rows, tokenised as for training, sampled with a fixed seed until they have enough tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.task import commonest_kind

from swift_core.contract import UsageError
from swift_train.data import load_samples
from swift_train.job import preprocessing_of
from swift_train.options import PretrainOptions, SftOptions
from swift_train.tasks import PretrainTask, SftTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_core.contract import DataChoice, Run
    from swift_core.runs import Report
    from swift_train.roles import Loaded

    Rows = list[NDArray[np.int32]]

_TASKS: Mapping[str, Callable[[], Any]] = {
    "chat": lambda: SftTask(SftOptions.model_validate({"mask": {"turns": "everything"}})),
    "text": lambda: PretrainTask(PretrainOptions()),
}
"""Kind of rows → the task that tokenises them; every message is supervised, so that truncated rows stay valid."""


def calibration_rows(
    run: Run, choices: Sequence[DataChoice], shapes: Loaded, report: Report, *, tokens: int, max_length: int, seed: int, where: str
) -> Rows:
    """Sample rows until they have `tokens` tokens in total, and return their token ids.

    Args:
        shapes: the model on `meta` with its processor.
        tokens: total number of tokens.
        max_length: rows are truncated on the right to so many tokens.
        where: the option that sets `tokens`, for errors.

    Raises:
        UsageError: the rows are neither conversations nor texts, or have fewer tokens in total.
    """
    kind = commonest_kind(choices, run.options["data"])
    if kind not in _TASKS:
        problem = f"'{choices[0].asked}' has {kind or 'unknown'} rows; conversations or texts are needed"
        raise UsageError(
            problem,
            code="TRAIN-008",
            where=where.partition(".")[0],
            hint="Give another data set, or rename its fields with --data.columns.",
        )
    preprocessing = preprocessing_of(run, _TASKS[kind](), shapes)
    truncated = replace(preprocessing, truncation="right", max_length=min(max_length, preprocessing.max_length))
    samples = load_samples(choices, truncated, report, seed=seed)
    available = int(samples.lengths.sum())
    if available < tokens:
        problem = f"the rows have {available:,} tokens in total, but {tokens:,} are needed"
        raise UsageError(problem, code="TRAIN-009", where=where, hint=f"Give more rows, or set --{where} {available}.")
    order = np.random.default_rng(seed).permutation(len(samples))
    count = int(np.searchsorted(np.cumsum(samples.lengths[order]), tokens)) + 1
    return [samples[int(index)].ids for index in order[:count]]


def write_rows(rows: Rows, file: Path) -> None:
    """Write rows as JSON lines with the key `ids`, which a quantizer in another environment reads without a tokenizer."""
    file.write_text("".join(json.dumps({"ids": row.tolist()}) + "\n" for row in rows), encoding="utf-8")
