"""`prepare` lays out local files in their original formats, and refuses invalid rows with their file and row."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from swift_evaluate.prepare import FORMATS, prepare, read_prepared
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_evaluate.rows.tasks import read_task
from swift_testing.evaluation import evaluation

from swift_core.contract import UsageError

CEVAL = "id,question,A,B,C,D,answer,explanation\n"
ARC = {
    "id": "Mercury_1",
    "question": {"stem": "Which is a gas?", "choices": [{"text": "iron", "label": "A"}, {"text": "air", "label": "B"}]},
    "answerKey": "B",
}
HELLASWAG = {"ind": 1, "activity_label": "Cooking", "ctx_a": "A man", "ctx_b": "he", "endings": list("wxyz"), "label": 2}
IFEVAL = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
CODE = {
    "task_id": "HumanEval/0",
    "prompt": "def f():\n",
    "canonical_solution": "    pass\n",
    "test": "def check(f): f()",
    "entry_point": "f",
}
CALLS = {
    "id": "simple_0",
    "question": [[{"role": "user", "content": "Now?"}]],
    "function": [{"name": "now", "parameters": {"type": "dict"}}],
}
ORIGINALS = {  # benchmark: file → content in its original format
    "arc": {"ARC-Easy-Test.jsonl": json.dumps(ARC)},
    "bfcl": {
        "BFCL_v3_simple.json": json.dumps(CALLS),
        "possible_answer/BFCL_v3_simple.json": json.dumps({"id": "simple_0", "ground_truth": [{"now": {}}]}),
    },
    "ceval": {
        "law_val.csv": f'{CEVAL}0,"谁，何时？",甲,乙,丙,丁,C,\n1,问题,甲,乙,丙,丁,A,因为\n',
        "law_dev.csv": f"{CEVAL}0,例题,甲,乙,丙,丁,B,因为\n",
    },
    "cmmlu": {
        "test/agronomy.csv": ",Question,A,B,C,D,Answer\n0,问题,甲,乙,丙,丁,D\n",
        "dev/agronomy.csv": ",Question,A,B,C,D,Answer\n0,例,甲,乙,丙,丁,A\n",
    },
    "cmnli": {"dev.json": json.dumps({"sentence1": "他在跑步", "sentence2": "他在动", "label": "entailment"})},
    "gsm8k": {"test.jsonl": json.dumps({"question": "2 + 3?", "answer": "2+3=5\n#### 5"})},
    "hellaswag": {"hellaswag_val.jsonl": json.dumps(HELLASWAG)},
    "humaneval": {"HumanEval.jsonl.gz": json.dumps(CODE)},
    "ifeval": {"input_data.jsonl": json.dumps(IFEVAL)},
    "mmlu": {"anatomy_test.csv": "Where is it?,here,there,nowhere,everywhere,B\n"},
}


def sources(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return [folder]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_benchmark_is_read_from_its_original_files(tmp_path, name):
    found = prepare(name, sources(tmp_path / "original", ORIGINALS[name]), tmp_path / "out")
    assert (found.name, len(found.subsets)) == (name, 1)
    rows = found.rows(found.subsets[0])
    assert all(row["id"] for row in rows)
    assert read_prepared(tmp_path / "out").hash() == found.hash()
    assert f'path: "{found.subsets[0]}/{found.split}.jsonl"' in (tmp_path / "out" / "README.md").read_text()


def test_rows_have_the_fields_of_the_hub_repositories(tmp_path):
    def rows(name):
        found = prepare(name, sources(tmp_path / name, ORIGINALS[name]), tmp_path / f"{name}-out")
        return found.rows(found.subsets[0])

    first, second = rows("ceval")
    assert (first["id"], first["question"], first["answer"], second["explanation"]) == ("law/0", "谁，何时？", "C", "因为")
    (row,) = rows("cmmlu")
    assert (row["Answer"], row["answer"], row["choices"][3], row["category"]) == ("D", "(D)", "(D) 丁", "agronomy")
    (row,) = rows("mmlu")
    assert (row["answer"], row["choices"], row["subject"]) == (1, ["here", "there", "nowhere", "everywhere"], "anatomy")
    (row,) = rows("arc")
    assert (row["id"], row["choices"], row["answerKey"]) == ("Mercury_1", {"text": ["iron", "air"], "label": ["A", "B"]}, "B")
    (row,) = rows("hellaswag")
    assert (row["ctx"], row["label"]) == ("A man he", "2")
    (row,) = rows("cmnli")
    assert (row["answer"], "他在动" in row["question"]) == ("A", True)


def test_pairs_on_which_the_annotators_did_not_agree_are_left_out_and_counted(tmp_path):
    lines = [{"sentence1": text, "sentence2": "b", "label": label} for text, label in (("a", "neutral"), ("c", "-"), ("d", "-"))]
    found = prepare("cmnli", sources(tmp_path, {"dev.json": "\n".join(map(json.dumps, lines))}), tmp_path / "out")
    assert (found.counts, found.left_out) == ({"default/val": 1}, {"default/val": 2})


def test_few_shot_examples_and_ids(tmp_path):
    with_examples = prepare("cmmlu", sources(tmp_path / "a", ORIGINALS["cmmlu"]), tmp_path / "a-out")
    without = prepare(
        "gsm8k",
        sources(tmp_path / "b", {"test.jsonl": ORIGINALS["gsm8k"]["test.jsonl"] + "\n" + ORIGINALS["gsm8k"]["test.jsonl"]}),
        tmp_path / "b-out",
    )
    assert (with_examples.has_few_shot, without.has_few_shot) == (True, False)
    one, other = without.rows("main")
    assert other["id"] == f"{one['id']}-2"  # a question that occurs twice, without ids of its own
    (row,) = prepare("gsm8k", sources(tmp_path / "c", ORIGINALS["gsm8k"]), tmp_path / "c-out").rows("main")
    assert row["id"] == one["id"]


@pytest.mark.parametrize(
    ("name", "files", "where", "message"),
    [
        ("ceval", {"law_val.csv": f"{CEVAL}0,问,甲,乙,丙,丁,E,\n"}, "law_val.csv, row 1", "not 'E'"),
        ("ceval", {"law_val.csv": f"{CEVAL}0,问,甲,乙,丙,丁,A,\n0,题,甲,乙,丙,丁,B,\n"}, "law_val.csv, row 2", "occurs twice"),
        ("ceval", {"law_test.csv": "id,question,A,B,C,D\n0,问,甲,乙,丙,丁\n"}, "law_test.csv, row 1", "'answer' is missing"),
        ("ceval", {"law_val.csv": f"{CEVAL}0,问,甲,乙,丙,丁\n"}, "law_val.csv, row 1", "6 columns"),
        ("ceval", {"law_dev.csv": f"{CEVAL}0,问,甲,乙,丙,丁,A,\n"}, "--from", "split 'val'"),
        ("mmlu", {"anatomy_test.csv": "Q,a,b,c,d,F\n"}, "anatomy_test.csv, row 1", "not 'F'"),
        ("mmlu", {"anatomy.csv": "Q,a,b,c,d,A\n"}, "anatomy.csv", "split of the file is unknown"),
        ("cmnli", {"dev.json": '{"sentence1": "a", "sentence2": "b", "label": "maybe"}'}, "dev.json, row 1", "not 'maybe'"),
        ("gsm8k", {"test.jsonl": '{"question": "q", "answer": "5"}'}, "test.jsonl, row 1", "####"),
        ("gsm8k", {"test.jsonl": '{"question": "q"\n'}, "test.jsonl, row 1", "not valid JSON"),
        ("arc", {"ARC-Easy-Test.jsonl": json.dumps({**ARC, "answerKey": "E"})}, "row 1", "not 'E'"),
        ("hellaswag", {"hellaswag_val.jsonl": json.dumps({**HELLASWAG, "label": 4})}, "row 1", "not '4'"),
        ("ifeval", {"input.jsonl": json.dumps({**IFEVAL, "kwargs": []})}, "row 1", "equal length"),
        ("ifeval", {"input.jsonl": f"{json.dumps(IFEVAL)}\n{json.dumps(IFEVAL)}"}, "input.jsonl, row 2", "occurs twice"),
        ("humaneval", {"HumanEval.jsonl": json.dumps({**CODE, "test": ""})}, "row 1", "'test'"),
        ("mmul", {"a_test.csv": ""}, "NAME", "no benchmark 'mmul'"),
    ],
)
def test_invalid_files_are_refused_and_nothing_is_written(tmp_path, name, files, where, message):
    with pytest.raises(UsageError) as failed:
        prepare(name, sources(tmp_path / "in", files), tmp_path / "out")
    assert where in failed.value.where
    assert message in failed.value.message
    assert failed.value.code.startswith("EVAL-")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_overwritten_unless_asked_for(tmp_path):
    given = sources(tmp_path / "in", ORIGINALS["gsm8k"])
    prepare("gsm8k", given, tmp_path / "out")
    with pytest.raises(UsageError):
        prepare("gsm8k", given, tmp_path / "out")
    prepare("gsm8k", given, tmp_path / "out", overwrite=True)
    with pytest.raises(UsageError):
        read_prepared(tmp_path / "in")


def test_the_command_prepares_and_names_the_row_at_fault(swift_project):
    swift_project.write({"data/law_val.csv": ORIGINALS["ceval"]["law_val.csv"]})
    outcome = swift_project.run("eval", "prepare", "ceval", "--from", "data", "--json")
    outcome.assert_success()
    assert outcome.json()["rows"] == {"law/val": 2}
    assert (swift_project.folder / "eval-data" / "ceval" / "law" / "val.jsonl").is_file()
    swift_project.write({"data/law_val.csv": f"{CEVAL}0,问,甲,乙,丙,丁,E,\n"})
    outcome = swift_project.run("eval", "prepare", "ceval", "--from", "data", "--output", "other")
    outcome.assert_failure("law_val.csv, row 1")
    assert outcome.code == 2


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"humaneval"}))
def test_a_prepared_benchmark_is_read_by_own_data(tmp_path, name):
    found = prepare(name, sources(tmp_path / "original", ORIGINALS[name]), tmp_path / "out")
    asked, _ = evaluation(tmp_path / "evaluator")
    task = read_task("task", RowsEvaluatorOptions(), replace(asked, data={"task": found.folder}, few_shot=1 if found.has_few_shot else 0))
    assert len(task.questions) == len(found.rows(found.subsets[0]))
    assert task.shots == found.has_few_shot
    multiple = name in ("arc", "ceval", "cmmlu", "cmnli", "hellaswag", "mmlu")
    assert task.metric_names == ["choice" if multiple else {"bfcl": "tool-call", "ifeval": "ifeval"}.get(name, "exact")]
    assert all(question.accepted in (("A",), ("B",), ("C",), ("D",)) for question in task.questions if multiple)
