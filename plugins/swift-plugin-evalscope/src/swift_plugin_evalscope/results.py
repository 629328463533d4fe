"""EvalScope's reviews, predictions and reports as items and scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from swift_evaluate import prompt_hash, question_id
from swift_evaluate.prepare import PreparedBenchmark, question_text
from swift_evaluate.roles import Item

MODEL = "model"  # the name of the model in EvalScope's folders
_WEIGHTED = frozenset({"inst_level_strict", "inst_level_loose"})  # means over instructions, not over items


@dataclass
class Reviews:
    """The reviews of a benchmark, followed while EvalScope appends to them.

    Attributes:
        task: the task as the user has named it.
        benchmark: EvalScope's name of it.
        folder: EvalScope's work folder.
        data: the local data, if there are any.
        samples: answers per question.
        examples: whether prompts begin with worked examples.
    """

    task: str
    benchmark: str
    folder: Path
    data: PreparedBenchmark | None = None
    samples: int = 1
    examples: bool = False
    _read: dict[Path, int] = field(default_factory=dict)  # bytes read of each file
    _reasons: dict[tuple[str, int], str] = field(default_factory=dict)  # subset and index → why the answer ended
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _seen: set[tuple[str, int, int]] = field(default_factory=set)  # subset, question and sample

    def new(self) -> Iterator[Item]:
        """Yield the items that have been reviewed since the last call."""
        reviews = [(path, each) for path in self._files("reviews") for each in self._new_lines(path)]
        for path in self._files("predictions"):  # read after the reviews: EvalScope writes a prediction before its review
            for each in self._new_lines(path):
                choices = (each.get("model_output") or {}).get("choices") or [{}]
                self._reasons[self._subset(path), int(each["index"])] = str(choices[0].get("stop_reason") or "")
        for path, each in reviews:
            yield self._item(self._subset(path), each)

    def missing(self, report: Mapping[str, Any]) -> Iterator[Item]:
        """Yield a failed item for each answer that was asked for and has no review."""
        for subset, counts in ((report.get("execution_summary") or {}).get("subsets") or {}).items():
            for number in range(int(counts["requested"]) // self.samples):
                for sample in range(self.samples):
                    if (subset, number, sample) not in self._seen:
                        name = self._id(subset, number, {})
                        yield Item(task=self.task, id=name, sample=sample, cluster=self._cluster(subset), status="failed")

    def _files(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind / MODEL).glob(f"{self.benchmark}_*.jsonl"))

    def _subset(self, path: Path) -> str:
        return path.stem.removeprefix(f"{self.benchmark}_")

    def _new_lines(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _item(self, subset: str, review: Mapping[str, Any]) -> Item:
        found = review["sample_score"]
        score = found["score"]
        sent = [{"role": each["role"], "content": each["content"]} for each in review["messages"] if each["role"] != "assistant"]
        reason = self._reasons.get((subset, int(review["index"])), "")
        number, sample = int(found["group_id"]), int(found.get("generation_index") or 0)
        self._seen.add((subset, number, sample))
        usable = score.get("status", "success") == "success"
        status: Literal["ok", "failed", "truncated"] = "failed" if not usable else "truncated" if reason == "max_tokens" else "ok"
        return Item(
            task=self.task,
            id=self._id(subset, number, found),
            sample=sample,
            cluster=self._cluster(subset),
            prompt=prompt_hash(sent),
            question=self._question(subset, number, sent),
            output=str(score.get("prediction") or ""),
            expected=", ".join(review.get("target") or ()),
            status=status,
            scores={name: float(value) for name, value in score["value"].items() if name not in _WEIGHTED} if usable else {},
        )

    def _cluster(self, subset: str) -> str:
        """Return the cluster of a subset's items: the subset, if it is one of several."""
        several = len(self.data.subsets) > 1 if self.data else len(self._files("predictions")) > 1
        return subset if several else ""

    def _id(self, subset: str, number: int, found: Mapping[str, Any]) -> str:
        """Return the id of a question: that of its row, if the data are local; else a hash of its place."""
        if self.data is None:
            own = (found.get("sample_metadata") or {}).get("id")
            return str(own) if own else question_id(subset, number)
        return str(self._row(self.data, subset, number)["id"])

    def _question(self, subset: str, number: int, sent: Sequence[Mapping[str, Any]]) -> str:
        """Return the question: that of its row, if the data are local; else the prompt; '' if examples are a part of that."""
        if self.data is not None:
            return question_text(self._row(self.data, subset, number))
        last = sent[-1]["content"] if sent and not self.examples else ""
        return last if isinstance(last, str) else ""

    def _row(self, data: PreparedBenchmark, subset: str, number: int) -> dict[str, Any]:
        place = data.subsets[0] if len(data.subsets) == 1 else subset
        if place not in self._rows:
            self._rows[place] = data.rows(place)
        return self._rows[place][number]


def scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a benchmark from EvalScope's report."""
    return {str(each["identity"]["name"]): float(each["score"]) for each in report["metrics"]}
