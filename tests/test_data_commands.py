"""`swift data`: what is in data sets and wrong with them, rows as the model sees them, their schema, and one spelling for all."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from swift_data.histogram import Distribution

from swift_core.cli import invoke as run
from tests.waiting import HANG


def chat(question: str, *answers: str, **more) -> dict:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answers[0]}]
    for answer in answers[1:]:
        turns += [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **more}


def write(path: Path, *rows: dict | str) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path.name


class Data:
    """`swift data` in this process, in a folder."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = run(["data", *map(str, words)])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def check(self, *words: str) -> dict:
        code, out, err = self("check", "--json", *words)
        assert out, err
        found = json.loads(out)
        assert code == (0 if found["ok"] else 1)
        return found


@pytest.fixture
def data(tmp_path, monkeypatch, capsys) -> Data:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Data(tmp_path, capsys)


# -- check -------------------------------------------------------------------------------------------------------------------


def test_clean_rows(data):
    write(data.folder / "a.jsonl", *(chat(f"Question {n}?", "Yes.", "No.") for n in range(20)))
    code, out, err = data("check", "a.jsonl")
    assert code == 0
    for text in ("20 messages: it has 'messages'", "80: 40 user, 40 assistant", "4 to 4 messages", "characters", "no problems found"):
        assert text in out
    assert "read as rows for sft" in err


def test_every_bad_row_is_counted_and_grouped(data):
    good = [chat(f"Question {n}?", "Yes.") for n in range(10)]
    unknown = [{"messages": [{"role": name, "content": "x"}, {"role": "assistant", "content": "y"}]} for name in ("usr", "me", "usr")]
    write(data.folder / "a.jsonl", *good, *unknown, chat("Empty?", " "), "{broken", {"colour": "red"}, chat("Last?", "Yes."))
    found = data.check("a.jsonl")
    (one,) = found["train"]
    assert (one["rows"], one["bad"]) == (17, 6)
    assert one["facts"]["forms"] == {"messages: it has 'messages'": 11}
    faults = {fault["path"]: fault for fault in one["faults"]}
    assert faults["$.messages[*].role"]["count"] == 3
    assert faults["$.messages[*].role"]["message"] == "unknown role …"
    places = [place["where"] for place in faults["$.messages[*].role"]["first"]]
    assert places == [f"a.jsonl, row {number}, $.messages[0].role" for number in (11, 12, 13)]
    assert faults["$.messages[*]"]["message"] == "an empty assistant message"
    assert faults["$"]["first"][0]["where"] == "a.jsonl, row 16, $"
    assert "not JSON" in faults[""]["message"]
    assert found["problems"] == ["6 rows are invalid"]
    _, out, _ = data("check", "a.jsonl")
    assert "✗ 3 × $.messages[*].role: unknown role …" in out
    assert "a.jsonl, row 12, $.messages[0].role: unknown role 'me'" in out


def test_a_file_that_breaks_off_does_not_hide_the_next(data):
    (data.folder / "a.jsonl").write_bytes(b"\xff\xfe{}")
    write(data.folder / "b.jsonl", chat("Hi?", "Yes."))
    found = data.check("a.jsonl", "b.jsonl")
    assert [one["rows"] for one in found["train"]] == [0, 1]
    assert "UTF-16" in found["train"][0]["faults"][0]["message"]
    assert found["problems"] == ["1 dataset could not be read to the end", "a.jsonl has no valid rows"]


def test_repeated_rows_are_found_however_they_are_spelled(data):
    write(data.folder / "a.jsonl", chat("One?", "Yes."), chat("Two?", "Yes."), {"instruction": "One?", "input": "", "output": "Yes."})
    write(data.folder / "b.jsonl", chat("Two?", "Yes."))
    found = data.check("a.jsonl", "b.jsonl")
    assert found["duplicates"]["count"] == 2
    assert found["duplicates"]["first"] == [["a.jsonl, row 3", "a.jsonl, row 1"], ["b.jsonl, row 1", "a.jsonl, row 2"]]
    assert found["ok"], "a duplicate may be meant"
    assert found["warnings"] == ["2 rows repeat an earlier one"]


def test_rows_held_out_that_are_learned(data):
    write(data.folder / "a.jsonl", chat("One?", "Yes."), chat("Two?", "Yes."), chat("Three?", "Yes."))
    write(data.folder / "v.jsonl", chat("Two?", "Yes."), chat("Three?", "No."), chat("Four?", "Yes."))
    found = data.check("a.jsonl", "--val-dataset", "v.jsonl")
    assert found["leaked"] == {"count": 1, "first": [["v.jsonl, row 1", "a.jsonl, row 2"]]}
    assert found["leaked_prompts"] == {"count": 1, "first": [["v.jsonl, row 2", "a.jsonl, row 3"]]}
    assert found["problems"] == ["1 validation row is also a training row"]
    assert data.check("a.jsonl", "--val-dataset", "v.jsonl#1")["leaked"]["count"] == 1
    write(data.folder / "w.jsonl", chat("Four?", "Yes."))
    assert data.check("a.jsonl", "--val-dataset", "w.jsonl")["ok"]


def test_the_task_is_chosen_by_the_rows(data):
    write(data.folder / "p.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"})
    (data.folder / "t.txt").write_text("One text.\nAnother.\n")
    assert data.check("t.txt")["task"] == "pretrain"
    found = data.check("p.jsonl")
    assert (found["task"] in ("cpo", "dpo", "orpo"), found["kinds"], found["ok"]) == (True, ["preference"], True)
    write(data.folder / "r.jsonl", {"prompt": "a"})
    found = data.check("r.jsonl")
    assert (found["task"], found["kinds"], found["ok"]) == ("", ["prompt"], False)
    assert "no task is selected for prompt rows" in found["train"][0]["faults"][0]["message"]
    found = data.check("p.jsonl", "--task", "sft")
    assert "this is a preference row" in found["train"][0]["faults"][0]["message"]
    assert "no option 'max_length'" in data("check", "r.jsonl", "--max-length", "5")[2]


def test_fields_that_nobody_reads(data):
    write(
        data.folder / "a.jsonl", *({"instruction": f"a{n}", "inputs": "b", "output": "c", "id": n} for n in range(3)), chat("Hi?", "Yes.")
    )
    found = data.check("a.jsonl")
    fields = {each["path"]: each for each in found["train"][0]["unread"]}
    assert {path: (each["rows"], each["share"], each["metadata"]) for path, each in fields.items()} == {
        "inputs": (3, 0.75, False),
        "id": (3, 0.75, True),
    }
    assert (found["ok"], len(found["warnings"])) == (True, 1)
    assert "'inputs' in 75% of the rows (Did you mean 'input'?)" in found["warnings"][0]
    assert "inputs (3 rows), id (3 rows)" in data("check", "a.jsonl")[1]


def test_what_a_model_adds_to_the_report(data, tiny_model):
    """What the template reads of a row, and control tokens that it holds, only a model tells."""
    write(data.folder / "a.jsonl", chat("Explain <|im_end|>.", "It ends a turn.", chat_template_kwargs={"enable_thinking": False}))
    assert data.check("a.jsonl")["warnings"] == []
    (one,) = (found := data.check("a.jsonl", "--model", tiny_model))["train"]
    assert [each["path"] for each in one["unread"]] == ["chat_template_kwargs.enable_thinking"]
    assert "'<|im_end|>' in 100% of the rows" in one["control"]
    assert (len(found["warnings"]), found["ok"]) == (2, True)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"instruction": "a", "ouput": "b"}, '{"ouput": "output"}'),
        ({"prompt": "a", "response": "b"}, '{"response": "completion"}'),
        ({"question": "a", "answer": "b"}, '{"question": "query", "answer": "response"}'),
        ({"instruction": "a", "context": "c", "response": "b", "category": "qa"}, '{"response": "output", "context": "input"}'),
    ],
)
def test_what_to_type_for_a_question_and_its_answer(data, row, columns):
    """`sft` and `data check` refuse the row alike, and what they say to type makes it a row."""
    write(data.folder / "a.jsonl", row)
    for words in ((), ("--task", "sft")):
        found = data.check("a.jsonl", *words)
        (fault,) = found["train"][0]["faults"]
        assert f"--data.columns '{columns}'" in fault["hint"]
        assert fault["first"][0]["where"] == "a.jsonl, row 1, $"
    found = data.check("a.jsonl", "--data.columns", columns)
    assert (found["ok"], found["task"]) == (True, "sft")
    assert found["warnings"] == []


def test_roles_by_option(data):
    turns = [{"from": "customer", "value": "Hi"}, {"from": "bot", "value": "Hello."}]
    write(data.folder / "a.jsonl", {"conversations": turns}, {"conversations": json.dumps(turns)})
    hint = data.check("a.jsonl")["train"][0]["faults"][0]["hint"]
    assert """--data.roles '{"customer": """ in hint
    roles = ("--data.roles", '{"bot": "assistant", "customer": "user"}')
    assert data.check("a.jsonl", *roles)["train"][0]["facts"]["roles"] == {"user": 2, "assistant": 2}
    assert data("convert", "a.jsonl", "--output", "b.jsonl", *roles)[0] == 0
    assert data.check("b.jsonl")["ok"]
    code, _, err = data("check", "a.jsonl", "--data.roles", '{"bot": "robot"}')
    assert (code, "data.roles" in err) == (2, True)


def test_columns_that_would_hide_another(data):
    write(data.folder / "a.jsonl", {"instruction": "a", "input": "x", "context": "c", "output": "b"})
    found = data.check("a.jsonl", "--data.columns", '{"context": "input"}')
    assert "two fields would be named 'input'" in found["train"][0]["faults"][0]["message"]


def test_lengths_in_tokens_and_what_is_too_long(data, tiny_model):
    write(data.folder / "a.jsonl", *(chat(f"Question {n}?", "word " * 3) for n in range(9)), chat("Long?", "word " * 40))
    words = ("a.jsonl", "--model", tiny_model, "--max-length", "120")
    found = data.check(*words)
    (one,) = found["train"]
    assert (found["unit"], found["max_length"], found["truncation"]) == ("tokens", 120, "error")
    assert (one["rows"], one["bad"], one["long"]) == (10, 1, 1)
    assert one["lengths"]["count"] == 10
    assert sum(each["count"] for each in one["lengths"]["bins"]) == 10
    assert one["faults"][0]["message"].endswith("tokens, but max_length is 120")
    cut = data.check(*words, "--truncation", "right")
    assert cut["ok"]
    assert cut["warnings"] == ["1 row is longer than 120 tokens, and truncated on the right (truncation: right)"]
    assert data.check("a.jsonl", "--model", tiny_model)["max_length"] == 512  # what the model can take


def test_rows_with_nothing_to_learn_and_those_a_template_refuses(data, tiny_model):
    write(
        data.folder / "a.jsonl",
        chat("Fine?", "Yes."),
        chat("word " * 80, "Yes."),
        chat("Tools?", "Yes.", tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}]),
        {"messages": [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "No.", "loss": False}]},
    )
    (one,) = data.check("a.jsonl", "--model", tiny_model, "--max-length", "100", "--truncation", "right")["train"]
    messages = {fault["first"][0]["where"].split(",")[1]: fault["first"][0]["message"] for fault in one["faults"]}
    assert messages[" row 2"] == "no token of this row is supervised"
    assert "does not support tools" in messages[" row 3"]
    assert "loss_scale 0" in messages[" row 4"]
    assert one["bad"] == 3


def test_what_is_learned_is_what_training_learns(data, tiny_model):
    """The tokens that check counts are those that show shows."""
    rows = [chat("One?", "Yes.", "Indeed."), chat("Two?", "No."), chat("Long?", "word " * 60)]
    write(data.folder / "a.jsonl", *rows)
    flags = ("--model", tiny_model, "--max-length", "150", "--truncation", "split")
    shown = [json.loads(data("show", "a.jsonl", "--row", str(number), "--json", *flags)[1]) for number in (1, 2, 3)]
    learned = sum(len(piece["ids"]) for row in shown for each in row["sequences"] for piece in each["pieces"] if piece["weight"])
    assert data.check("a.jsonl", *flags)["train"][0]["learned"] == learned
    assert len(shown[2]["sequences"]) > 1


@pytest.mark.slow
def test_many_rows_need_little_memory(tmp_path):
    """Twenty thousand rows more must not cost what they weigh."""
    row = {"messages": [{"role": "user", "content": "x" * 2000}, {"role": "assistant", "content": ""}]}

    def peak(count: int) -> int:
        with (tmp_path / "a.jsonl").open("w") as file:
            for number in range(count):
                row["messages"][1]["content"] = f"{number} {'y' * 2000}"
                file.write(json.dumps(row) + "\n")
        code = (
            "import resource; from swift_core.cli import invoke as run; code = run(['data', 'check', 'a.jsonl', '--json']); "
            "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        status, most = done.stdout.splitlines()[-1].split()
        assert status == "0"
        return int(most)

    few, many = peak(1000), peak(21_000)
    assert (many - few) * 1024 < 20_000 * 200, "rows weigh 4,000 bytes each"


ENDLESS = """
from itertools import count

from swift_core import hookimpl
from swift_core.contract.roles import RawRow
from swift_core.contract.specs import DatasetSpec, Ref


class Endless:
    def __init__(self, options):
        pass

    def fetch(self, progress=None):
        return ()

    def rows(self):
        for number in count(1):
            messages = [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": "Yes."}]
            yield RawRow({"messages": messages}, "endless", number)


@hookimpl
def swift_datasets():
    return [DatasetSpec(name="endless", summary="Endless", rows=("chat",), factory=Ref("endless:Endless"))]
"""


def test_a_lone_data_set_of_a_file_of_settings(data):
    write(data.folder / "a.jsonl", chat("One?", "Yes."))
    (data.folder / "it.yaml").write_text("dataset: a.jsonl\n")
    found = json.loads(data("check", "it.yaml", "--json")[1])
    assert [each["name"] for each in found["train"]] == ["a.jsonl"]


def test_ctrl_c_stops_cleanly(swift, tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    process = swift.popen("--plugin", "endless.py", "data", "check", "endless")
    assert "read as rows for sft" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert err.strip() == "stopped"
    assert not out


def test_mistakes_are_named(data):
    write(data.folder / "rows.jsonl", chat("One?", "Yes."))
    for words, says in (
        (("check",), "no dataset is given"),
        (("check", "rows.jsnl"), "Did you mean 'rows.jsonl'?"),
        (("check", "rows.jsonl", "--max-lenght", "3"), "Did you mean --max-length"),
        (("check", "rows.jsonl", "--task", "stf"), "Did you mean 'sft'?"),
        (("show", "rows.jsonl", "--row", "7"), "rows.jsonl: there is no row 7; the last one is 1"),
        (("show", "rows.jsonl", "rows.jsonl"), "more than one dataset is given"),
        (("schema", "pretain"), "Did you mean 'pretrain'?"),
        (("convert", "rows.jsonl"), "output"),
    ):
        code, out, err = data(*words)
        assert code == 2, words
        assert says in err
        assert not out


# -- show --------------------------------------------------------------------------------------------------------------------


def test_a_row_as_the_model_sees_it(data, tiny_model):
    write(data.folder / "a.jsonl", chat("First?", "Yes."), chat("One?", "Yes.", "Indeed."))
    code, out, _ = data("show", "a.jsonl", "--row", "2", "--model", tiny_model)
    assert code == 0
    assert "a.jsonl, row 2: " in out
    assert (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n⟦Yes.<|im_end|>⟧\n<|im_start|>user\nAnd then?<|im_end|>\n"
        "<|im_start|>assistant\n⟦Indeed.<|im_end|>⟧"
    ) in out
    _, last, _ = data("show", "a.jsonl", "--row", "2", "--model", tiny_model, "--mask.turns", "last")
    assert "assistant\nYes.<|im_end|>" in last
    _, tokens, _ = data("show", "a.jsonl", "--row", "2", "--model", tiny_model, "--tokens")
    assert "⟦Y│e│s│.│<|im_end|>│⟧" in tokens


def test_show_is_what_training_has(data, tiny_model):
    """The ids and weights are those of the store that a run reads its rows from."""
    from swift_train.build import load_base
    from swift_train.data import load_samples
    from swift_train.job import preprocessing_of

    from swift_core.contract import Settings
    from swift_core.plugins.verb_names import verb_named
    from swift_core.runs.events import Report
    from swift_core.runs.resolution import resolve

    long = chat("Long?", "word " * 60)
    long["messages"][1]["loss_scale"] = 2
    write(data.folder / "a.jsonl", chat("One?", "Yes.", "Indeed."), long)
    values = {"model": str(tiny_model), "dataset": ["a.jsonl"], "max_length": 120, "truncation": "left"}
    trained = resolve(verb_named("sft"), Settings(values)).run
    reading = preprocessing_of(trained, trained.part("task").build(), load_base(trained, "meta"))
    samples = load_samples(trained.datasets, reading, Report(data.folder))
    for index in (0, 1):
        words = ("--row", str(index + 1), "--model", tiny_model, "--max-length", "120", "--truncation", "left", "--json")
        (sequence,) = json.loads(data("show", "a.jsonl", *words)[1])["sequences"]
        assert [identity for piece in sequence["pieces"] for identity in piece["ids"]] == samples[index].ids.tolist()
        weights = [piece["weight"] for piece in sequence["pieces"] for _ in piece["ids"]]
        assert weights == samples[index].weights.tolist()


def test_a_mended_template_is_named_and_taken(data, tiny_model):
    """DeepSeek-R1-Distill's own opens a thought for the model and never writes one."""
    own = (files("trl") / "chat_templates" / "deepseek_r1_distill.jinja").read_text(encoding="utf-8")
    shutil.copytree(tiny_model, data.folder / "model")
    (data.folder / "model" / "chat_template.jinja").write_text(own)
    answer = {"role": "assistant", "content": "It is 42.", "thinking": "6 x 7."}
    write(data.folder / "a.jsonl", {"messages": [{"role": "user", "content": "6 x 7?"}, answer]})
    found = data.check("a.jsonl", "--model", "model")
    assert "--chat-template deepseek-r1-distill" in found["train"][0]["faults"][0]["hint"]
    mended = ("--model", "model", "--chat-template", "deepseek-r1-distill", "--family", "deepseek_v3")
    assert data.check("a.jsonl", *mended)["ok"]
    shown = data("show", "a.jsonl", "--row", "1", *mended)[1]
    assert "<think>\n⟦6 x 7.\n</think>\n\nIt is 42." in shown


def test_cut_weighted_and_refused_rows(data, tiny_model):
    scaled = chat("One?", "Yes.", "Indeed.")
    scaled["messages"][1]["loss_scale"] = 0.5
    write(data.folder / "a.jsonl", scaled, chat("Long?", "word " * 60), chat("Empty?", ""))
    _, out, _ = data("show", "a.jsonl", "--model", tiny_model)
    assert "⟦0.5×Yes.<|im_end|>⟧" in out
    assert "another loss weight" in out
    _, out, _ = data("show", "a.jsonl", "--row", "2", "--model", tiny_model, "--max-length", "100", "--truncation", "right")
    assert "100 tokens, truncated from " in out
    _, out, _ = data("show", "a.jsonl", "--row", "2", "--model", tiny_model, "--max-length", "100", "--truncation", "drop")
    assert "longer than 100 tokens and dropped" in out
    code, _, err = data("show", "a.jsonl", "--row", "2", "--model", tiny_model, "--max-length", "100")
    assert code == 2
    assert "a.jsonl, row 2: " in err
    assert "SWIFT-TRAIN-079" in err
    assert "max_length" in err
    assert "is 100" in err
    assert "a.jsonl, row 3, $.messages[1]: an empty assistant message" in data("show", "a.jsonl", "--row", "3", "--model", tiny_model)[2]


def test_a_row_without_a_model_is_shown_in_the_one_spelling(data):
    write(data.folder / "a.jsonl", {"instruction": "Calculate.", "input": "6 x 7", "output": "42"})
    assert json.loads(data("show", "a.jsonl")[1]) == chat("Calculate.\n6 x 7", "42")


@pytest.mark.slow
@pytest.mark.parametrize("no_color", [False, True])
def test_colours_on_a_terminal_and_no_control_characters_of_the_row(swift, tmp_path, tiny_model, no_color):
    write(tmp_path / "a.jsonl", chat("One?\u001b[31m", "Yes."))
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    env.pop("NO_COLOR", None)
    env |= {"NO_COLOR": "1"} if no_color else {}
    command = [sys.executable, "-m", "swift_core.cli", "data", "show", "a.jsonl", "--model", str(tiny_model)]
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    out = b""
    try:
        while piece := os.read(ours, 4096):
            out += piece
    except OSError:  # the other end is closed
        pass
    process.communicate(timeout=HANG)
    text = out.decode()
    assert "\x1b[31m" not in text
    assert "␛[31m" in text
    assert ("\x1b[32mYes.<|im_end|>\x1b[0m" in text) is not no_color
    assert ("⟦Yes.<|im_end|>⟧" in text) is no_color
    assert ("\x1b" in text) is not no_color


# -- schema and convert ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row"), [("sft", chat("a", "b")), ("pt", {"text": "a"}), ("preference", {"prompt": "a", "chosen": "b", "rejected": "c"})]
)
def test_schema(data, name, row):
    schema = json.loads(data("schema", name)[1])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(row, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"colour": "red"}, schema)


def test_convert_writes_one_spelling(data):
    write(data.folder / "a.jsonl", {"instruction": "One?", "input": "", "output": "Ja."}, {"query": "Zwei für 2 €?", "response": "Nein."})
    write(data.folder / "b.jsonl", {"conversations": [{"from": "human", "value": "Three?"}, {"from": "gpt", "value": "Yes."}]})
    code, out, _ = data("convert", "a.jsonl", "b.jsonl", "--output", "out/rows.jsonl")
    assert code == 0
    assert "out/rows.jsonl: 3 chat rows" in out
    written = (data.folder / "out/rows.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in written.splitlines()] == [
        chat("One?", "Ja."),
        chat("Zwei für 2 €?", "Nein."),
        chat("Three?", "Yes."),
    ]
    assert "€" in written
    assert data("convert", "out/rows.jsonl", "--output", "again.jsonl")[0] == 0
    assert (data.folder / "again.jsonl").read_text(encoding="utf-8") == written
    code, _, err = data("convert", "b.jsonl", "--output", "again.jsonl")
    assert code == 2
    assert "'again.jsonl' exists" in err
    assert data("convert", "b.jsonl", "--output", "again.jsonl", "--overwrite")[0] == 0
    assert len((data.folder / "again.jsonl").read_text().splitlines()) == 1


def test_convert_stops_at_a_bad_row_or_lists_it(data):
    write(data.folder / "a.jsonl", chat("One?", "Yes."), chat("Two?", ""), "{broken", chat("Three?", "Yes."))
    code, _, err = data("convert", "a.jsonl", "--output", "rows.jsonl")
    assert code == 2
    assert "a.jsonl, row 2, $.messages[1]: an empty assistant message" in err
    assert [path.name for path in data.folder.iterdir()] == ["a.jsonl"]
    words = ("convert", "a.jsonl", "--output", "rows.jsonl", "--data.on-error", "skip")
    assert "2 of 4 rows are invalid" in data(*words)[2]
    assert not (data.folder / "rows.jsonl").exists()
    code, out, _ = data(*words, "--data.max-skipped", "2", "--json")
    assert code == 0
    skipped = {"skipped": 2, "skipped_in": "rows.jsonl.skipped", "overlapping": 0, "left_out": {}}
    assert json.loads(out) == {"output": "rows.jsonl", "kind": "chat", "rows": 2, **skipped}
    listed = [json.loads(line)["row"] for line in (data.folder / "rows.jsonl.skipped").read_text().splitlines()]
    assert listed == [2, 3]


def test_convert_writes_dates_as_text_and_refuses_what_json_has_not(data):
    import datetime

    import pyarrow
    import pyarrow.parquet

    day = datetime.date(2026, 1, 2)
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["When?"], "day": [day]}), data.folder / "a.parquet")
    assert data("convert", "a.parquet", "--output", "a.jsonl")[0] == 0
    assert json.loads((data.folder / "a.jsonl").read_text())["day"] == "2026-01-02"
    assert "no task is selected for prompt rows" in data.check("a.parquet")["train"][0]["faults"][0]["message"]
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["When?"], "raw": [b"\xff"]}), data.folder / "b.parquet")
    code, _, err = data("convert", "b.parquet", "--output", "b.jsonl")
    assert code == 2
    assert "b.parquet, row 1: a value of type bytes can't be written as JSON" in err


def test_convert_takes_the_kind_of_most_rows_or_the_one_named(data):
    write(data.folder / "a.jsonl", {"text": "One.", "label": "b"}, {"text": "Two.", "label": "c"})
    assert "2 text rows" in data("convert", "a.jsonl", "--output", "text.jsonl")[1]
    assert "2 label rows" in data("convert", "a.jsonl", "--output", "label.jsonl", "--kind", "label")[1]


# -- the histogram -----------------------------------------------------------------------------------------------------------


def test_a_spread_of_known_numbers():
    numbers = Distribution()
    assert numbers.spread() is None
    for number in range(1, 101):
        numbers.add(number)
    spread = numbers.spread()
    assert (spread.min, spread.median, spread.p95, spread.max, spread.total) == (1, 50, 95, 100, 5050)
    assert [(each.low, each.high, each.count) for each in spread.bins][:2] == [(0, 10, 9), (10, 20, 10)]
    assert sum(each.count for each in spread.bins) == 100


def test_one_long_row_does_not_squeeze_the_others():
    numbers = Distribution()
    for number in range(500):
        numbers.add(number)
    numbers.add(1_000_000)
    spread = numbers.spread()
    assert 5 <= len(spread.bins) <= 12
    assert spread.bins[-1].high is None
    assert spread.max == 1_000_000


def test_rows_in_a_json_file_are_no_options(swift):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (swift.folder / "rows.json").write_text(json.dumps([row]))
    outcome = swift("data", "convert", "rows.json", "--output", "rows.jsonl")
    assert outcome.code == 0, outcome.err
    assert json.loads((swift.folder / "rows.jsonl").read_text()) == row
