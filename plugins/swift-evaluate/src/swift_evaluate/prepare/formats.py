"""The benchmarks that can be prepared, with the formats of their original files.

To add one: a function that turns a source row into the row of its hub repository, and an entry in `FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_evaluate.prepare import bfcl
from swift_evaluate.prepare.source import SourceRow, stem_of

LETTERS = "ABCD"
CMNLI_LABELS = {"entailment": "A", "neutral": "B", "contradiction": "C"}
_SPLITS = {"val": "val", "valid": "val", "validation": "val", "dev": "dev", "test": "test", "train": "train"}

Place = tuple[str, str]  # subset and split
Places = dict[Place, dict[str, dict[str, Any]]]  # place → id → row


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a benchmark's files and of its prepared rows.

    Attributes:
        convert: source row and subset → prepared row; None for a row that is not evaluated, as its authors say.
        place: file → subset and split.
        split: the split whose items are evaluated.
        few_shot: the split with worked examples; '' if the benchmark has none.
        own_id: the field with the benchmark's own id; '' if it has none.
        id_per_subset: the benchmark's own ids begin anew in each subset.
        columns: names of the columns of a CSV file without a header.
        all_subsets: names of further subsets that consist of all of them.
        join: rows of all files → the rows that are written, if one row comes from several files.
    """

    convert: Callable[[SourceRow, str], dict[str, Any] | None]
    place: Callable[[Path], Place]
    split: str = "test"
    few_shot: str = ""
    own_id: str = ""
    id_per_subset: bool = False
    columns: tuple[str, ...] = ()
    all_subsets: tuple[str, ...] = ()
    join: Callable[[Places], Places] | None = None


def question_text(row: Mapping[str, Any]) -> str:
    """Return the text of the question in a benchmark's row, without its choices; '' if the row has no field with a usual name."""
    return next((text for name in ("question", "ctx", "prompt") if isinstance(text := row.get(name), str)), "")


def _letter(row: SourceRow, field: str, letters: str = LETTERS) -> str:
    answer = row.text(field).strip().upper()
    if len(answer) != 1 or answer not in letters:
        raise row.error(f"the answer must be one of {', '.join(letters)}, not '{row.text(field)}'")
    return answer


def _ceval(row: SourceRow, subset: str) -> dict[str, Any]:
    texts = {name: row.text(name) for name in ("question", *LETTERS)}
    return {**texts, "answer": _letter(row, "answer"), "explanation": str(row.data.get("explanation") or ""), "subject": subset}


def _cmmlu(row: SourceRow, subset: str) -> dict[str, Any]:
    question, answer = row.text("Question"), _letter(row, "Answer")
    choices = {letter: row.text(letter) for letter in LETTERS}
    return {
        "Question": question,
        **choices,
        "Answer": answer,
        "question": question,
        "choices": [f"({letter}) {text}" for letter, text in choices.items()],
        "answer": f"({answer})",
        "category": subset,
    }


def _mmlu(row: SourceRow, subset: str) -> dict[str, Any]:
    choices = [row.text(letter) for letter in LETTERS]
    return {"question": row.text("question"), "choices": choices, "answer": LETTERS.index(_letter(row, "answer")), "subject": subset}


def _cmnli(row: SourceRow, _subset: str) -> dict[str, Any] | None:
    label = row.text("label")
    if label == "-":  # the annotators did not agree
        return None
    if label not in CMNLI_LABELS:
        raise row.error(f"the label must be one of {', '.join(CMNLI_LABELS)}, not '{label}'")
    question = f"前提：{row.text('sentence1')}\n假设：{row.text('sentence2')}\n前提和假设之间是什么关系？"
    return {"question": question, "A": "蕴含", "B": "中立", "C": "矛盾", "answer": CMNLI_LABELS[label]}


def _gsm8k(row: SourceRow, _subset: str) -> dict[str, Any]:
    answer = row.text("answer")
    if not re.search(r"#### -?[\d,.]+\s*$", answer):
        raise row.error("the answer must end in '#### ' and a number")
    return {"question": row.text("question"), "answer": answer}


def _arc(row: SourceRow, _subset: str) -> dict[str, Any]:
    question = row.value("question")
    nested = question if isinstance(question, dict) else {"stem": question, "choices": row.value("choices")}
    choices = nested.get("choices")
    if isinstance(choices, dict):  # the layout of the hub repository
        choices = [{"text": text, "label": label} for text, label in zip(choices["text"], choices["label"], strict=True)]
    if (
        not isinstance(choices, list)
        or not choices
        or not all(isinstance(each, dict) and {"text", "label"} <= set(each) for each in choices)
    ):
        raise row.error("the choices must be a list of objects with 'text' and 'label'")
    labels, key = [str(each["label"]) for each in choices], row.text("answerKey")
    if key not in labels:
        raise row.error(f"the answer must be one of {', '.join(labels)}, not '{key}'")
    return {
        "question": str(nested.get("stem", "")),
        "choices": {"text": [str(each["text"]) for each in choices], "label": labels},
        "answerKey": key,
    }


def _hellaswag(row: SourceRow, _subset: str) -> dict[str, Any]:
    endings, label = row.value("endings"), str(row.value("label"))
    if not isinstance(endings, list) or len(endings) != 4:
        raise row.error("there must be four endings")
    if label not in ("0", "1", "2", "3"):
        raise row.error(f"the label must be 0, 1, 2 or 3, not '{label}'")
    fields = ("ind", "activity_label", "split", "split_type", "source_id")
    context = row.text("ctx_a")
    following = str(row.data.get("ctx_b") or "")
    joined = str(row.data.get("ctx") or f"{context} {following}".strip())
    return {
        **{name: row.data[name] for name in fields if name in row.data},
        "activity_label": row.text("activity_label"),
        "ctx_a": context,
        "ctx_b": following,
        "ctx": joined,
        "endings": [str(each) for each in endings],
        "label": label,
    }


def _ifeval(row: SourceRow, _subset: str) -> dict[str, Any]:
    ids, arguments = row.value("instruction_id_list"), row.value("kwargs")
    if not isinstance(ids, list) or not ids or not isinstance(arguments, list) or len(ids) != len(arguments):
        raise row.error("instruction_id_list and kwargs must be lists of equal length")
    return {"key": row.value("key"), "prompt": row.text("prompt"), "instruction_id_list": ids, "kwargs": arguments}


def _humaneval(row: SourceRow, _subset: str) -> dict[str, Any]:
    return {name: row.text(name) for name in ("task_id", "prompt", "canonical_solution", "test", "entry_point")}


def _by_suffix(file: Path) -> Place:
    """`SUBJECT_SPLIT.csv`, or `SPLIT/SUBJECT.csv`."""
    subset, _, split = stem_of(file).rpartition("_")
    if subset and split in _SPLITS:
        return subset, _SPLITS[split]
    return stem_of(file), _SPLITS.get(file.parent.name, "")


def _single(subset: str, default: str, names: Mapping[str, str] = _SPLITS) -> Callable[[Path], Place]:
    """Return the place of files of a benchmark with one subset: the split is a part of the file's name, or the default."""

    def place(file: Path) -> Place:
        parts = re.split(r"[_\-.]", stem_of(file).lower())
        return subset, next((names[part] for part in parts if part in names), default)

    return place


def _arc_place(file: Path) -> Place:
    subset = "ARC-Easy" if "easy" in str(file).lower() else "ARC-Challenge"
    return subset, _single(subset, "test", {**_SPLITS, "dev": "validation", "val": "validation"})(file)[1]


_VALIDATION = dict.fromkeys(("val", "valid", "validation", "dev"), "validation") | {"train": "train", "test": "test"}

FORMATS: Mapping[str, Format] = {
    "arc": Format(_arc, _arc_place, few_shot="train", own_id="id"),
    "bfcl": Format(bfcl.convert, bfcl.place, own_id="id", join=bfcl.join),
    "ceval": Format(_ceval, _by_suffix, split="val", few_shot="dev", own_id="id", id_per_subset=True),
    "cmmlu": Format(_cmmlu, _by_suffix, few_shot="dev", all_subsets=("default",)),
    "cmnli": Format(_cmnli, _single("default", "val", {**_SPLITS, "dev": "val"}), split="val", own_id="id"),
    "gsm8k": Format(_gsm8k, _single("main", "test"), few_shot="train"),
    "hellaswag": Format(_hellaswag, _single("default", "validation", _VALIDATION), split="validation"),
    "humaneval": Format(_humaneval, lambda file: ("openai_humaneval", "test"), own_id="task_id"),
    "ifeval": Format(_ifeval, lambda file: ("default", "train"), split="train", own_id="key"),
    "mmlu": Format(_mmlu, _by_suffix, few_shot="dev", columns=("question", *LETTERS, "answer"), all_subsets=("all",)),
}
