"""Data sets mixed by probabilities, as the library datasets does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from datasets import Dataset, interleave_datasets
from swift_data.options import DataOptions
from swift_train import build, job
from swift_train.testing import training_run, write_rows
from swift_train.verb_checks import problems

from swift_core.options.model import Invalid
from swift_core.plugins import registry


class Report:
    speaks = False

    def note(self, text):
        pass

    def progress(self, *args, **more):
        pass


def chats(name, count):
    return [
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"{name}{number}"}]} for number in range(count)
    ]


def run_of(model, tmp_path, **data):
    files = [write_rows(tmp_path / f"{name}.jsonl", chats(name, count)) for name, count in (("a", 5), ("b", 9), ("c", 3))]
    runs = [training_run(model, file, verb_options={"data": DataOptions(**data).model_dump()}) for file in files]
    return replace(runs[0], datasets=tuple(run.datasets[0] for run in runs))


@pytest.mark.parametrize("stopping", ["first_exhausted", "all_exhausted"])
def test_rows_are_those_of_the_library(tiny_model, tmp_path, stopping):
    given = [0.5, 0.3, 0.2]
    run = run_of(tiny_model, tmp_path, probabilities=given, stopping=stopping)
    task = run.part("task").build()
    rows, _ = job.load_rows(run, task, build.load_base(run, "meta"), Report())
    found = [rows.origin(index) for index in range(len(rows))]
    theirs = [Dataset.from_dict({"row": [f"{name}{n}" for n in range(count)]}) for name, count in (("a", 5), ("b", 9), ("c", 3))]
    expected = interleave_datasets(theirs, given, seed=task.options.seed, stopping_strategy=stopping)["row"]
    assert [f"{place.partition('.jsonl')[0][-1]}{int(place.rpartition(' ')[2]) - 1}" for place in found] == list(expected)


def test_what_does_not_fit_is_refused(tiny_model, tmp_path):
    few = run_of(tiny_model, tmp_path, probabilities=[0.5, 0.5])
    assert "data.probabilities" in [problem.where for problem in problems(few, registry())]
    assert DataOptions(probabilities="0.7,0.3").probabilities == [0.7, 0.3]
    for wrong in ([0.5, 0.6], [1.0, 0.0]):
        with pytest.raises(Invalid):
            DataOptions.checked({"probabilities": wrong})
