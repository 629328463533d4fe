"""The evaluators with libraries of their own, for real: `make test-full LANE=evaluate`.

Each runs in the environment of `swift env create`, against a server with known answers, whose scores must come out exactly, and against
SmolLM2 on the embedded server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from swift_evaluate.prepare import prepare, read_prepared
from swift_testing.serving import SwiftServe

from tests.known_server import KnownServer, log_probability
from tests.waiting import wait_for

pytestmark = pytest.mark.full("evaluate")

CEVAL = "id,question,A,B,C,D,answer,explanation\n"
CMMLU = ",Question,A,B,C,D,Answer\n"
LETTERS = "ABCD"
RIGHT = {"arc": 3, "ceval": 3, "cmmlu": 2, "cmnli": 2, "gsm8k": 3, "hellaswag": 2, "ifeval": 1, "mmlu": 5}  # of
COUNT = {"arc": 4, "ceval": 5, "cmmlu": 3, "cmnli": 3, "gsm8k": 4, "hellaswag": 4, "ifeval": 3, "mmlu": 6}
METRICS = {
    "evalscope": dict.fromkeys(COUNT, "accuracy") | {"ifeval": "prompt_level_strict"},
    "inspect": dict.fromkeys(COUNT, "choice") | {"gsm8k": "match"},
    "lm-eval": dict.fromkeys(COUNT, "acc") | {"gsm8k": "exact_match,flexible-extract", "ifeval": "prompt_level_strict_acc"},
}
TASKS = {"evalscope": sorted(COUNT), "inspect": sorted(set(COUNT) - {"ifeval"}), "lm-eval": ["gsm8k", "ifeval"]}


def questions() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Return by benchmark and file the text and the right answer of each question."""
    return {
        "arc": {
            "ARC-Easy-Test.jsonl": [(f"Easy arc {n}?", LETTERS[n]) for n in range(2)],
            "ARC-Challenge-Test.jsonl": [(f"Hard arc {n}?", "C") for n in range(2)],
        },
        "ceval": {
            "law_val.csv": [(f"法律问题{n}", LETTERS[n]) for n in range(3)],
            "logic_val.csv": [(f"逻辑问题{n}", "D") for n in range(2)],
        },
        "cmmlu": {"test/agronomy.csv": [(f"农学问题{n}", LETTERS[n]) for n in range(3)]},
        "cmnli": {"dev.json": [(f"前句{n}", letter) for n, letter in enumerate("ABC")]},
        "gsm8k": {"test.jsonl": [(f"What is {n} + {n + 3}?", str(2 * n + 3)) for n in range(2, 6)]},
        "hellaswag": {"hellaswag_val.jsonl": [(f"A man {n} cooks.", LETTERS[n]) for n in range(4)]},
        "ifeval": {"input_data.jsonl": [(f"Write about cat {n} without commas.", "") for n in range(3)]},
        "mmlu": {
            "anatomy_test.csv": [(f"anatomy question {n}", LETTERS[n]) for n in range(4)],
            "astronomy_test.csv": [(f"astronomy question {n}", "B") for n in range(2)],
        },
    }


def lines(benchmark: str, rows: list[tuple[str, str]]) -> str:
    """Return a file in the benchmark's original format."""
    if benchmark == "arc":
        choices = [{"text": f"thing {letter}", "label": letter} for letter in LETTERS]
        return "".join(
            json.dumps({"id": text, "question": {"stem": text, "choices": choices}, "answerKey": key}) + "\n" for text, key in rows
        )
    if benchmark == "ceval":
        return CEVAL + "".join(f"{n},{text},甲,乙,丙,丁,{key},\n" for n, (text, key) in enumerate(rows))
    if benchmark == "cmmlu":
        return CMMLU + "".join(f"{n},{text},甲,乙,丙,丁,{key}\n" for n, (text, key) in enumerate(rows))
    if benchmark == "mmlu":
        return "".join(f"{text},one,two,three,four,{key}\n" for text, key in rows)
    if benchmark == "cmnli":
        labels = {"A": "entailment", "B": "neutral", "C": "contradiction"}
        return "".join(
            json.dumps({"sentence1": text, "sentence2": "后句", "label": labels[key]}, ensure_ascii=False) + "\n" for text, key in rows
        )
    if benchmark == "gsm8k":
        return "".join(json.dumps({"question": text, "answer": f"So.\n#### {key}"}) + "\n" for text, key in rows)
    if benchmark == "hellaswag":
        shared = {"activity_label": "Cooking", "ctx_b": "he", "endings": [f"does {letter}." for letter in LETTERS]}
        return "".join(json.dumps({**shared, "ctx_a": text, "label": LETTERS.index(key)}) + "\n" for text, key in rows)
    shared = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    return "".join(json.dumps({"key": n, "prompt": text, **shared}) + "\n" for n, (text, _) in enumerate(rows))


def reply(benchmark: str, key: str, *, right: bool) -> str:
    """Return an answer in the form that each evaluator asks for."""
    if benchmark == "ifeval":
        return "Cats sleep." if right else "Cats sleep, eat, and play."
    if benchmark == "gsm8k":
        number = int(key) + (not right)
        return f"The sum is \\boxed{{{number}}}\nANSWER: {number}\n#### {number}"
    letter = key if right else LETTERS[(LETTERS.index(key) + 1) % 3]
    return f"答案：{letter}" if benchmark in ("ceval", "cmmlu", "cmnli") else f"ANSWER: {letter}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The prepared benchmarks."""
    folder = tmp_path_factory.mktemp("data")
    for benchmark, files in questions().items():
        for name, rows in files.items():
            path = folder / "original" / benchmark / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(lines(benchmark, rows), encoding="utf-8")
        prepare(benchmark, [folder / "original" / benchmark], folder / benchmark)
    return {benchmark: str(folder / benchmark) for benchmark in questions()}


def answers(evaluator: str) -> dict[str, str]:
    """Return the answer to each question: the first of each benchmark are right, the others wrong."""
    found = {}
    for benchmark, files in questions().items():
        rows = [row for name in sorted(files) for row in files[name]]
        for number, (text, key) in enumerate(rows):
            answer = reply(benchmark, key, right=number < RIGHT[benchmark])
            found[text] = answer.replace("答案：", "ANSWER: ") if evaluator == "inspect" else answer
    return found


@pytest.fixture(scope="module", autouse=True)
def environments() -> None:
    """The environments of the three evaluators, made once and kept."""
    for name in METRICS:
        subprocess.run([sys.executable, "-m", "swift_core.cli", "env", "create", name], check=True, stdout=subprocess.DEVNULL)


def words(evaluator: str, url: str, data: dict[str, str], tasks: list[str], *more: str) -> list[str]:
    chosen = json.dumps({task: data[task] for task in tasks})
    return ["eval", "--url", url, "--evaluator", evaluator, "--data", chosen, "--tasks", *tasks, *more]


def start(project: Any, *words: str) -> subprocess.Popen[str]:
    """Start `swift WORDS` in the project's folder."""
    line = [sys.executable, "-m", "swift_core.cli", *words]
    return subprocess.Popen(line, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(project: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = max(project.folder.glob("runs/*"), key=lambda path: path.stat().st_mtime)
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    return json.loads((folder / "scores.json").read_text()), items


@pytest.mark.parametrize("evaluator", sorted(METRICS))
def test_known_answers_come_out_exactly(swift_project, data, evaluator):
    with KnownServer(answers(evaluator)) as server:
        outcome = swift_project.run(*words(evaluator, server.url, data, TASKS[evaluator]), timeout=600)
        outcome.assert_success()
    record, items = results(swift_project)
    assert record["warnings"] == []  # the evaluator's own numbers are the means of its items
    for task in TASKS[evaluator]:
        metric = METRICS[evaluator][task]
        found = record["scores"][task][metric]
        assert (task, found["value"], found["n"]) == (task, pytest.approx(RIGHT[task] / COUNT[task]), COUNT[task])
        assert found["reported"] == pytest.approx(found["value"], abs=1e-4)
        prepared = read_prepared(Path(data[task]))
        expected = {row["id"] for subset in prepared.subsets for row in prepared.rows(subset)}
        assert {item["id"] for item in items if item["task"] == task} == expected  # the same ids in each evaluator
    assert {item["status"] for item in items} == {"ok"}
    assert all(len(item["prompt"]) == 64 for item in items)


def test_log_likelihoods_come_out_exactly(swift_project, data):
    """Every choice of MMLU by the server's formula, which is applied here to the prompt that lm-eval's template gives."""
    tasks = ["arc", "ceval", "cmmlu", "cmnli", "hellaswag", "mmlu"]
    with KnownServer({}) as server:
        outcome = swift_project.run(*words("lm-eval", server.url, data, tasks), timeout=600)
        outcome.assert_success()
        scored = set(server.answered)
    record, items = results(swift_project)
    assert record["warnings"] == []
    assert {item["task"] for item in items} == set(tasks)
    prepared = read_prepared(Path(data["mmlu"]))
    rows = {row["id"]: row for subset in prepared.subsets for row in prepared.rows(subset)}
    for item in (item for item in items if item["task"] == "mmlu"):
        row = rows[item["id"]]
        listed = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, row["choices"], strict=True))
        (text,) = {text for text in scored if text.endswith(f"{row['question']}\n{listed}Answer: A")}
        context = len(text) - 2
        sums = [log_probability(" ", context) + log_probability(letter, context + 1) for letter in LETTERS]
        assert json.loads(item["output"]) == pytest.approx(sums)
        assert item["scores"]["acc"] == float(max(range(4), key=sums.__getitem__) == row["answer"])


@pytest.mark.parametrize("evaluator", sorted(METRICS))
def test_failed_and_truncated_answers_are_counted_and_not_wrong(swift_project, data, evaluator):
    (first, _), (second, _), _, _ = questions()["gsm8k"]["test.jsonl"]
    with KnownServer(answers(evaluator), {first: "500", second: "length"}) as server:
        outcome = swift_project.run(*words(evaluator, server.url, data, ["gsm8k"]), timeout=600)
        outcome.assert_success()
    record, items = results(swift_project)
    assert record["counts"]["gsm8k"] | {"hash": ""} == {"items": 4, "samples": 4, "failed": 1, "truncated": 1, "hash": ""}
    score = record["scores"]["gsm8k"][METRICS[evaluator]["gsm8k"]]
    assert (score["value"], score["n"]) == (pytest.approx(2 / 3), 3)  # three are right; the one that failed does not count
    assert [item["scores"] for item in items if item["status"] == "failed"] == [{}]


@pytest.mark.parametrize("evaluator", sorted(METRICS))
def test_a_server_that_dies_half_way_ends_the_run_which_is_resumed(swift_project, data, evaluator):
    tasks = ["gsm8k"]
    server = KnownServer(answers(evaluator), dies_after=2)
    with server:
        command = start(swift_project, *words(evaluator, server.url, data, tasks, "--concurrency", "1"))
        wait_for(lambda: len(server.answered) >= 2)
    assert command.wait(300) == 1, command.stderr.read()
    (folder,) = swift_project.folder.glob("runs/*")
    with KnownServer(answers(evaluator)) as again:
        outcome = swift_project.run(*words(evaluator, again.url, data, tasks, "--resume", str(folder)), timeout=600)
        outcome.assert_success()
    assert len(again.answered) == 2
    assert not set(again.answered) & set(server.answered)
    record, _ = results(swift_project)
    assert record["scores"]["gsm8k"][METRICS[evaluator]["gsm8k"]]["value"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("evaluator", sorted(METRICS))
def test_a_stop_ends_the_library_and_a_crash_names_its_log(swift_project, data, evaluator):
    with KnownServer(answers(evaluator)) as server:
        server.answer = lambda handler: time.sleep(3) or server._reply(handler)
        command = start(swift_project, *words(evaluator, server.url, data, ["gsm8k"], "--concurrency", "1"))
        wait_for(lambda: any(each["path"].endswith("/chat/completions") for each in server.seen))
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
        wait_for(lambda: not _workers(swift_project.folder), 30)
        command = start(swift_project, *words(evaluator, server.url, data, ["gsm8k"], "--concurrency", "1"))
        wait_for(lambda: len(server.seen) > 4 and _workers(swift_project.folder))
        for number in _workers(swift_project.folder):
            os.kill(number, signal.SIGKILL)
        assert command.wait(60) == 1
        assert "engine/log.txt" in command.stderr.read()


def _workers(folder: Path) -> list[int]:
    """Return the process ids of workers in an evaluator's environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text, where = path.read_bytes().decode(errors="replace"), (path.parent / "cwd").readlink()
        except OSError:
            continue
        if "swift_core.runs.worker" in text and where == folder and text.rstrip("\0").endswith("/engine"):
            found.append(int(path.parent.name))
    return found


@pytest.mark.model
def test_a_real_model_on_the_embedded_server(swift_project, data, smollm2):
    """Log-likelihoods of the served model are those that transformers computes of the same prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = json.dumps({"mmlu": data["mmlu"]})
    words = [
        "eval",
        str(smollm2),
        "--evaluator",
        "lm-eval",
        "--data",
        chosen,
        "--tasks",
        "mmlu",
        "--limit",
        "2",
        "--backend.dtype",
        "float32",
    ]
    swift_project.run(*words).assert_success()
    record, items = results(swift_project)
    assert record["warnings"] == []
    model, tokenizer = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32), AutoTokenizer.from_pretrained(smollm2)
    prepared = read_prepared(Path(data["mmlu"]))
    rows = {row["id"]: row for subset in prepared.subsets for row in prepared.rows(subset)}
    assert len(items) == 4
    for item in items:
        row = rows[item["id"]]
        listed = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, row["choices"], strict=True))
        subject = row["subject"].replace("_", " ")
        head = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
        context = tokenizer.encode(f"{head}{row['question']}\n{listed}Answer:")
        expected = []
        for letter in LETTERS:
            ids = tokenizer.encode(f"{head}{row['question']}\n{listed}Answer: {letter}")
            with torch.inference_mode():
                values = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            expected.append(sum(float(values[at - 1, ids[at]]) for at in range(len(context), len(ids))))
        assert json.loads(item["output"]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.model
@pytest.mark.parametrize("evaluator", sorted(METRICS))
def test_a_real_model_answers_every_benchmark(swift_project, data, smollm2, evaluator):
    """The same run twice gives the same answers and the same scores."""
    tasks = TASKS[evaluator] if evaluator != "lm-eval" else ["gsm8k", "ifeval", "arc", "ceval", "cmmlu", "cmnli", "hellaswag", "mmlu"]
    chosen = json.dumps({task: data[task] for task in tasks})
    words = ["eval", str(smollm2), "--evaluator", evaluator, "--data", chosen, "--tasks", *tasks, "--limit", "2", "--max-tokens", "48"]
    found = []
    for _ in range(2):
        swift_project.run(*words, "--concurrency", "1").assert_success()
        record, items = results(swift_project)
        assert {item["task"] for item in items} == set(tasks)
        assert not [text for text in record["warnings"] if "reports" in text]
        found.append((record["scores"], sorted((item["task"], item["id"], item["output"]) for item in items)))
    assert found[0] == found[1]


@pytest.mark.model
def test_a_real_model_is_the_judge(swift_project, smollm2):
    """Every answer has a grade within the limits, or is counted as not graded; the same answers are graded the same."""
    rows = [{"question": f"What is the capital of {land}?", "answer": city} for land, city in (("France", "Paris"), ("Italy", "Rome"))]
    swift_project.write({"questions.jsonl": rows})
    found = []
    with SwiftServe(swift_project.folder / "server", str(smollm2), "--dtype", "float32") as server:
        metric = {"name": "judge", "url": server.url, "rubric": "The answer names the right city.", "max_tokens": 64}
        words = ["eval", server.url, "--evaluator", "own-data", "--tasks", "questions.jsonl", "--max-tokens", "16"]
        for _ in range(2):
            swift_project.run(*words, "--metrics", json.dumps(metric)).assert_success()
            found.append({item["id"]: (item["output"], item["scores"]) for item in results(swift_project)[1]})
    assert found[0] == found[1]
    assert len(found[0]) == 2
    for output, scores in found[0].values():
        assert output
        assert ("judge" in scores) == (scores["judge_failed"] == 0)
        assert 0 <= scores.get("judge", 0) <= 1
