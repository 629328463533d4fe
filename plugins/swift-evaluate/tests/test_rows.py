"""The evaluator of own rows: scores of a server with known answers come out exactly; bad data ends before the first question."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from swift_evaluate.rows.evaluator import RowsEvaluator
from swift_evaluate.rows.filters import AnswerFilter, thinking_marks
from swift_evaluate.rows.likelihood import log_likelihood
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_serve.client import Client
from swift_testing.evaluation import evaluation, means
from swift_testing.fake_engine import FakeEngine
from swift_testing.scripted import ScriptedServer, reply

from swift_core.contract import Server, SwiftError, UsageError

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: apt-get install bubblewrap")
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Norway": "Oslo"}
MCQ = "id,question,A,B,C,D,answer\n" + "".join(
    f"{number},Capital of {country}?,Lima,{capital},Bern,Cairo,B\n" for number, (country, capital) in enumerate(CAPITALS.items())
)


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def knows(*countries):
    """Answer rightly for these countries, and wrongly for others."""

    def answer(messages):
        asked = messages[-1]["content"]
        return next((CAPITALS[country] for country in countries if country in asked), "Atlantis")

    return answer


def evaluate(tmp_path, engine, task, *, options=None, **asked):
    """Evaluate one task; return the means of the items, the items, the scores, and the bodies of the requests."""
    wanted, items = evaluation(tmp_path / "own", task, **asked)
    scores = RowsEvaluator(RowsEvaluatorOptions.checked(options or {})).evaluate(Server(engine.url, ("fake",)), wanted)
    return means(items).get(task, {}), items, scores, [request["body"] for request in engine.seen if request["body"]]


def test_rows_of_questions_and_answers(tmp_path):
    rows = [{"question": f"Capital of {country}?", "answer": capital} for country, capital in CAPITALS.items()]
    task = write(tmp_path / "q.jsonl", *rows)
    with FakeEngine(knows("France", "Italy", "Spain")) as engine:
        found, items, scores, bodies = evaluate(tmp_path, engine, task, options={"metrics": ["exact", "f1"], "system": "Be brief."})
    assert found == {"exact": 0.75, "f1": 0.75}
    assert len({item.id for item in items}) == 4
    assert all(item.id == other.id for item, other in zip(items, items, strict=True))
    assert {item.expected for item in items} == set(CAPITALS.values())
    assert [message["role"] for message in bodies[0]["messages"]] == ["system", "user"]
    assert bodies[0]["temperature"] == 0
    settings = scores.settings["tasks"][task]
    assert settings["metrics"] == [{"metric": "exact", "version": "1", "normalize": False}, {"metric": "f1", "version": "1"}]
    assert len(settings["data_hash"]) == 64


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris"}]},
        {"conversations": [{"from": "human", "value": "Capital of France?"}, {"from": "gpt", "value": "Paris"}]},
        {"instruction": "Name the capital.", "input": "Of France?", "output": "Paris"},
        {"prompt": "Capital of France?", "completion": "Paris"},
        {"query": "Capital of France?", "response": "Paris"},
        {"messages": [{"role": "user", "content": "Capital of France?"}], "expected": ["Paris", "Paris, France"]},
        {"question": "Capital of France?", "answers": {"text": ["Paris"], "answer_start": [0]}},
    ],
)
def test_rows_of_every_format_are_asked_without_their_answer(tmp_path, row):
    with FakeEngine(knows("France")) as engine:
        found, _, _, (body,) = evaluate(tmp_path, engine, write(tmp_path / "q.jsonl", row))
    assert found == {"exact": 1}
    assert "Paris" not in json.dumps(body["messages"])


def test_multiple_choice_by_generation(tmp_path):
    (tmp_path / "geo.csv").write_text(MCQ)
    with FakeEngine(lambda messages: "B" if "Italy" in messages[-1]["content"] else "The answer is A.") as engine:
        found, items, _, bodies = evaluate(tmp_path, engine, str(tmp_path / "geo.csv"))
    assert found == {"accuracy": 0.25}
    assert sorted(item.id for item in items) == ["0", "1", "2", "3"]
    assert "A. Lima\nB. Paris\nC. Bern\nD. Cairo" in "".join(body["messages"][-1]["content"] for body in bodies)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1},
        {"question": "2 + 2?", "choices": ["(A) 3", "(B) 4"], "answer": "(B)"},
        {"question": "2 + 2?", "choices": {"text": ["3", "4"], "label": ["1", "2"]}, "answerKey": "2"},
        {"query": "2 + 2?", "endings": ["3", "4"], "label": "1"},
        {"question": "2 + 2?", "options": {"A": "3", "B": "4"}, "answer": "B"},
        {"question": "2 + 2?", "choices": ["3", "four"], "answer": "four"},
    ],
)
def test_choices_in_every_layout(tmp_path, row):
    with FakeEngine("B") as engine:
        found, _, _, _ = evaluate(tmp_path, engine, write(tmp_path / "q.jsonl", row))
    assert found == {"accuracy": 1}


def test_a_folder_of_subsets_with_examples(tmp_path):
    folder = tmp_path / "mmlu"
    folder.mkdir()
    (folder / "history_test.csv").write_text("When?,1789,1815,1914,1945,A\nWho?,Ada,Bob,Cyd,Dan,C\n")  # MMLU's own files have no header
    (folder / "history_dev.csv").write_text("Where?,Here,There,Up,Down,D\n")
    (folder / "maths_val.csv").write_text("id,question,A,B,C,D,answer\n0,1 + 1?,1,2,3,4,B\n")
    (folder / "maths_dev.csv").write_text("id,question,A,B,C,D,answer\n0,1 + 2?,1,2,3,4,C\n")
    with FakeEngine(lambda messages: "A" if "When" in messages[-1]["content"] else "B") as engine:
        found, items, _, bodies = evaluate(tmp_path, engine, str(folder), few_shot=1)
    assert found == {"accuracy": pytest.approx(2 / 3)}
    assert sorted(item.cluster for item in items) == ["history", "history", "maths"]
    turns = {body["messages"][-1]["content"].partition("\n")[0]: body["messages"] for body in bodies}
    assert [turn["content"].partition("\n")[0] for turn in turns["1 + 1?"]] == ["1 + 2?", "C", "1 + 1?"]
    assert [turn["content"].partition("\n")[0] for turn in turns["When?"]] == ["Where?", "D", "When?"]


class LikelihoodServer(ScriptedServer):
    """Echoes prompts: each character is a token of log-probability -1, those after `likely` of -0.5.

    `generated`: whether it returns the log-probability of the generated token, too. `prefix` is a special token before the prompt.
    """

    def __init__(self, *likely, generated=True, prefix="", logprobs=True):
        super().__init__()
        self.likely, self.generated, self.prefix, self.logprobs = likely, generated, prefix, logprobs
        self.answer = self._answer

    def _answer(self, handler):
        prompt = handler.asked["body"]["prompt"]
        assert handler.asked["body"]["echo"] is True
        text = self.prefix + prompt + ("!" if self.generated else "")
        pieces = [self.prefix] if self.prefix else []
        pieces += text[len(self.prefix) :]
        ending = next((ending for ending in self.likely if prompt.endswith(ending)), "")
        begin = len(self.prefix) + len(prompt) - len(ending)
        offsets, values = [], []
        for place in range(len(pieces)):
            offset = sum(map(len, pieces[:place]))
            offsets.append(offset)
            values.append(None if offset == 0 else -0.5 if begin <= offset < begin + len(ending) else -1.0)
        if self.generated:
            values[-1] = -1000.0
        logprobs = {"tokens": pieces, "token_logprobs": values, "text_offset": offsets, "top_logprobs": None}
        choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": logprobs if self.logprobs else None}
        reply(handler, 200, {"id": "x", "object": "text_completion", "created": 0, "model": "fake", "choices": [choice]})


@pytest.mark.parametrize("server", [{}, {"generated": False}, {"prefix": "<s>"}], ids=["generated", "echo-alone", "special"])
def test_multiple_choice_by_the_log_likelihood_of_texts(tmp_path, server):
    task = write(
        tmp_path / "q.jsonl",
        {"id": "short", "question": "Capital of France?", "choices": ["Oslo", "Paris"], "answer": "A"},
        {"id": "long", "question": "Capital of Italy?", "choices": ["Bern", "Reykjavik"], "answer": "B"},
    )
    with LikelihoodServer(" Reykjavik", **server) as engine:
        found, items, _, bodies = evaluate(tmp_path, engine, task, options={"answer_by": "text-likelihood"})
    # Oslo -5 beats Paris -6, per byte -5/4 against -6/5 it does not. Bern -5 is as likely as Reykjavik -5, per byte it is not.
    by_id = {item.id: item for item in items}
    assert by_id["short"].scores == {"accuracy": 1, "accuracy_norm": 0}
    assert by_id["long"].scores == {"accuracy": 0, "accuracy_norm": 1}
    assert found == {"accuracy": 0.5, "accuracy_norm": 0.5}
    assert {body["prompt"] for body in bodies} >= {
        "Question: Capital of France?\nAnswer: Oslo",
        "Question: Capital of Italy?\nAnswer: Reykjavik",
    }


@pytest.mark.parametrize("generated", [True, False])
def test_the_log_likelihood_of_a_continuation(generated):
    with LikelihoodServer("cd", generated=generated, prefix="<s>") as engine:
        client = Client(Server(engine.url, ("fake",)))
        assert log_likelihood(client, "ab", " cd", "fake") == -1 - 0.5 - 0.5
        engine.answer = lambda handler: reply(
            handler, 200, {"choices": [{"text": "other", "logprobs": {"token_logprobs": [None, -1.0], "text_offset": [0, 2]}}]}
        )
        with pytest.raises(SwiftError, match="does not echo"):
            log_likelihood(client, "ab", " cd", "fake")


def test_multiple_choice_by_the_log_likelihood_of_letters(tmp_path):
    (tmp_path / "geo.csv").write_text(MCQ)
    with LikelihoodServer("Answer: C") as engine:
        found, items, _, bodies = evaluate(tmp_path, engine, str(tmp_path / "geo.csv"), options={"answer_by": "letter-likelihood"})
    assert found == {"accuracy": 0}
    assert {item.output for item in items} == {"C"}
    assert len(bodies) == 16
    with LikelihoodServer(" B") as engine:
        assert evaluate(tmp_path, engine, str(tmp_path / "geo.csv"), options={"answer_by": "letter-likelihood"})[0] == {"accuracy": 1}


def test_a_server_without_log_probabilities_of_the_prompt_scores_nothing(tmp_path):
    (tmp_path / "geo.csv").write_text(MCQ)
    with LikelihoodServer(logprobs=False) as engine, pytest.raises(UsageError, match="no log-probabilities"):
        evaluate(tmp_path, engine, str(tmp_path / "geo.csv"), options={"answer_by": "letter-likelihood"})


def test_a_task_in_yaml(tmp_path):
    write(tmp_path / "data" / "q.jsonl", *({"land": country, "capital": capital} for country, capital in CAPITALS.items()))
    write(tmp_path / "data" / "shots.jsonl", {"land": "Peru", "capital": "Lima"})
    task = tmp_path / "capitals.yaml"
    task.write_text(
        "data: data/q.jsonl\nprompt: 'Capital of {land} as {JSON}?'\nexpected: capital\nfew_shot: 1\nfew_shot_data: data/shots.jsonl\n"
        "extract: 'Answer: (\\w+)'\nstop: [\"\\n\\n\"]\nmax_tokens: 9\nmetrics: [exact, {name: regex, pattern: '^P'}]\n"
    )
    task.write_text(task.read_text().replace("{JSON}", "{ JSON }"))
    answers = {
        "France": "<think>Rome? Answer: Rome</think> Answer: Paris",
        "Italy": "Rome",
        "Spain": "Answer: Madrid",
        "Norway": "<think>Answer: Oslo",
    }
    with FakeEngine(lambda messages: next(text for country, text in answers.items() if country in messages[-1]["content"])) as engine:
        found, items, scores, bodies = evaluate(tmp_path, engine, str(task))
    assert found == {"exact": 0.5, "regex": 0.25, "extracted": 0.5}
    assert [turn["content"] for turn in bodies[0]["messages"][:2]] == ["Capital of Peru as { JSON }?", "Lima"]
    assert (bodies[0]["stop"], bodies[0]["max_tokens"]) == (["\n\n"], 9)
    assert {item.output for item in items} == set(answers.values())  # as the model has written it
    assert scores.settings["tasks"][str(task)]["few_shot"] == 1


def test_thinking_is_removed_by_the_mark_of_the_checkpoint(tmp_path):
    (tmp_path / "chat_template.jinja").write_text("{{ '[THINK]' }}…[/THINK]")
    marks = thinking_marks(tmp_path)
    assert marks == (("[THINK]", "[/THINK]"),)
    assert AnswerFilter(marks=marks)("[THINK]a[/THINK]\n    </think> b\n") == "    </think> b"
    assert AnswerFilter(marks=())("<think>a</think>b") == "<think>a</think>b"
    assert AnswerFilter()("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b") == "b"
    assert AnswerFilter()("<think>never ends") == ""


def test_several_samples_and_what_an_interrupted_run_has(tmp_path):
    pytest.importorskip("sacrebleu")
    rows = [{"id": country, "question": f"Capital of {country}?", "answer": capital} for country, capital in CAPITALS.items()]
    task = write(tmp_path / "q.jsonl", *rows)
    options = {"metrics": ["chrf"], "samples": 2, "temperature": 0.5}
    with FakeEngine(knows(*CAPITALS)) as engine:
        _, items, scores, bodies = evaluate(tmp_path, engine, task, options=options)
        assert len(bodies) == 8
        assert scores.values[task]["chrf"] == pytest.approx(1)
        kept = {(item.task, item.id, item.sample): replace(item, output="x") for item in items[:5]}
        _, again, scores, bodies = evaluate(tmp_path, engine, task, options=options, recorded=kept)
    assert len(again) == 3
    assert len(bodies) == 8 + 3
    assert {(item.id, item.sample) for item in again}.isdisjoint((name, sample) for _, name, sample in kept)
    assert scores.values[task]["chrf"] < 0.7  # five of eight answers are those of the interrupted run


ADD = {
    "task_id": "T/0",
    "prompt": 'def add(a, b):\n    """Add."""\n',
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "canonical_solution": "    return a + b\n",
}


@needs_bwrap
def test_generated_code_runs_only_if_it_is_allowed(tmp_path):
    task = write(tmp_path / "he.jsonl", ADD)
    options = {"metrics": [{"name": "pass@k", "k": [1, 2], "seconds": 5}], "samples": 2, "temperature": 0.8}
    with FakeEngine("    return a + b", "    return a - b") as engine:
        with pytest.raises(UsageError, match="executes generated code"):
            evaluate(tmp_path, engine, task, options=options)
        assert not engine.seen
        found, _, scores, bodies = evaluate(tmp_path, engine, task, options=options, allow_code=True)
    assert found == {"pass@1": 0.5}
    assert scores.values[task] == {"pass@2": 1.0}
    assert "def add(a, b):" in bodies[0]["messages"][-1]["content"]


def test_tool_calls_of_the_answer_are_compared(tmp_path):
    tools = [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    ]
    row = {"question": "Weather in Bern?", "tools": tools, "tool_calls": [{"name": "weather", "arguments": {"city": "Bern"}}]}
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}

    class Server(ScriptedServer):
        def __init__(self):
            super().__init__()
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            self.answer = lambda handler: reply(
                handler, 200, {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
            )

    with Server() as engine:
        found, _, _, (body,) = evaluate(tmp_path, engine, write(tmp_path / "q.jsonl", row), options={"metrics": ["tool-call"]})
    assert found == {"tool_call": 1}
    assert body["tools"] == tools


GOOD = {"question": "Capital of France?", "choices": ["Paris", "Rome"], "answer": "A"}


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([GOOD, {**GOOD, "answer": "E"}], {}, ("q.jsonl, row 2", "'E'", "A, B")),
        ([GOOD, {**GOOD, "answer": None}], {}, ("q.jsonl, row 2", "no answer")),
        ([GOOD, {**GOOD, "answer": 2}], {}, ("q.jsonl, row 2", "no index")),
        ([{**GOOD, "id": 7}, {**GOOD, "id": 8}, {**GOOD, "id": "7"}], {}, ("q.jsonl, row 3", "'7'", "row 1")),
        ([{"question": "a", "answer": "b"}, {"question": "a"}], {}, ("q.jsonl, row 2", "no expected answer")),
        ([{"question": "a", "answer": "b"}, {"query": "a", "answer": "b"}], {"prompt": "{question}"}, ("q.jsonl, row 2", "'question'")),
        ([{"question": "a", "answer": "b"}], {"expected": "gold"}, ("q.jsonl, row 1", "'gold'")),
        ([{"question": "a", "answer": "b"}], {"cluster": "page"}, ("q.jsonl, row 1", "'page'")),
        ([{"question": "a", "answer": "b"}], {"metrics": ["numeric"]}, ("q.jsonl, row 1", "no number")),
        ([{"question": "a", "answer": "b"}], {"metrics": ["exakt"]}, ("metrics: ", "exact")),
        ([{"question": "a", "answer": "b"}], {"answer_by": "letter-likelihood"}, ("q.jsonl, row 1", "choices")),
        ([GOOD], {"answer_by": "letter-likelihood", "metrics": ["f1"]}, ("q.jsonl", "log-likelihoods")),
        ([GOOD], {"few_shot": 1}, ("q.jsonl", "no examples")),
        ([GOOD], {"samples": 2}, ("q.jsonl", "greedy")),
        ([GOOD, ["no", "object"]], {}, ("q.jsonl, row 2", "not an object")),
        ([{"colour": "red"}], {}, ("q.jsonl, row 1",)),
        ([], {}, ("q.jsonl", "no rows")),
    ],
)
def test_bad_data_ends_before_the_first_question(tmp_path, rows, options, said):
    task = write(tmp_path / "q.jsonl", *rows)
    with FakeEngine("A") as engine:
        with pytest.raises(UsageError) as caught:
            evaluate(tmp_path, engine, task, options=options)
        assert not engine.seen
    assert all(text in str(caught.value) for text in said), str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: q.jsonl\nextract: '('\n", "regular expression"),
        ("data: q.jsonl\nmetric: exact\n", "metrics"),
        ("prompt: a\n", "data"),
        ("data: gone.jsonl\n", "gone.jsonl"),
        ("data: q.jsonl\nmetrics: [{pattern: a}]\n", "names no metric"),
        ("data: q.jsonl\nmetrics: [exakt]\n", "task.yaml: there is no metric 'exakt'"),
        ("data: [\n", "task.yaml"),
    ],
)
def test_a_wrong_task_file_is_named(tmp_path, text, said):
    write(tmp_path / "q.jsonl", GOOD)
    (tmp_path / "task.yaml").write_text(text)
    with FakeEngine("A") as engine, pytest.raises(UsageError) as caught:
        evaluate(tmp_path, engine, str(tmp_path / "task.yaml"))
    assert said in str(caught.value)
    assert not engine.seen


def test_broken_files_are_named_with_their_row(tmp_path):
    broken = {
        "a.jsonl": '{"question": "a", "answer": "b"}\n{"question"\n',
        "b.csv": "question,answer\na,b,c\n",
        "c.txt": "a",
        "d.json": "{}",
    }
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
        with FakeEngine("A") as engine, pytest.raises(SwiftError) as caught:
            evaluate(tmp_path, engine, str(tmp_path / name))
        assert name in str(caught.value)
        assert name[0] not in "ab" or "row 2" in str(caught.value)


def test_from_the_command_line(swift_project):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    swift_project.write({"q.jsonl": "".join(json.dumps({"question": f"Capital of {c}?", "answer": a}) + "\n" for c, a in CAPITALS.items())})
    with FakeEngine(knows("France")) as engine:
        words = ("eval", "--url", engine.url, "--evaluator", "own-data", "--tasks", "q.jsonl")
        outcome = swift_project.run(*words, "--metrics", "exact,f1", "--metrics", "{name: regex, pattern: P}")
        outcome.assert_success()
        seen = len(engine.seen)
        swift_project.run(*words, "--metrics", "exakt").assert_failure("Did you mean 'exact'?")
        assert len(engine.seen) == seen
    table = {line.split()[1]: line.split()[2] for line in outcome.out.splitlines()[1:4]}
    assert table == {"exact": "0.25", "f1": "0.25", "regex": "0.25"}


def test_rows_are_checked_before_the_checkpoint_is_loaded(swift_project, tiny_model):
    swift_project.write({"q.jsonl": json.dumps({**GOOD, "answer": "E"})})
    outcome = swift_project.run("eval", str(tiny_model), "--evaluator", "own-data", "--tasks", "q.jsonl", "--dry-run")
    outcome.assert_failure("q.jsonl, row 1")
    assert outcome.code == 2
