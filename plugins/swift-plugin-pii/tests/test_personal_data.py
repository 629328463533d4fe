"""Personal data is found in Chinese and English rows, replaced where asked, and never printed."""

from __future__ import annotations

import json

import pytest
from swift_data.personal_data import find, redact

from tests.here import swift_here

WITH = {
    "Write to ada.lovelace+x@mail.example.org.": ["EMAIL"],
    "邮箱zhang@example.cn，谢谢": ["EMAIL"],
    "请联系张三，电话13812345678": ["PHONE"],
    "座机：010-62781234。": ["PHONE"],
    "Call +1 212-555-0199 or (212) 555-0123.": ["PHONE", "PHONE"],
    "Rufen Sie +49 30 901820 an": ["PHONE"],
    "身份证11010519491231002X，": ["CN_RESIDENT_ID"],
    "卡号4111 1111 1111 1111": ["CREDIT_CARD"],
    "IBAN DE89 3704 0044 0532 0130 00": ["IBAN"],
    "SSN 536-90-4399": ["US_SSN"],
    "from 192.0.2.17 and 2001:db8::1": ["IP_ADDRESS", "IP_ADDRESS"],
}
WITHOUT = [
    "ISBN 9787302511854 在2026-11-30 12:30:45, 订单号 20261130001234",
    "a@b, user@localhost, @ada",
    "4111 1111 1111 1112 and 110105194912310021",
    "version 1.2.3.4.5, 300.1.2.3, 127.0.0.1, 12:30:45",
    "π is 3.14159265358979, 2**64 is 18446744073709551616",
    "The sum of 123456 and 654321 is 777777.",
]


@pytest.mark.parametrize("text", WITH)
def test_it_is_found(text):
    assert [each.kind for each in find(text)] == WITH[text]
    assert find(redact(text)) == []


@pytest.mark.parametrize("text", WITHOUT)
def test_what_only_looks_like_it_is_not(text):
    assert find(text) == []


def test_a_redacted_text_keeps_the_rest():
    assert redact("请联系张三，电话13812345678，邮箱zhang@example.cn。") == "请联系张三，电话[PHONE]，邮箱[EMAIL]。"


@pytest.fixture
def rows(tmp_path):
    lines = [
        {"messages": [{"role": "user", "content": "电话13812345678"}, {"role": "assistant", "content": "Noted: ada@example.org."}]},
        {"messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_the_check_names_places_and_prints_no_data(rows):
    code, out, err = swift_here(rows, "data", "check", "rows.jsonl", "--pii", "--json")
    found = json.loads(out)["train"][0]["personal"]
    assert (code, found["rows"], found["kinds"]) == (1, 1, {"PHONE": 1, "EMAIL": 1})
    assert found["first"][0] == ["rows.jsonl, row 1", "$.messages[0].content", "PHONE"]
    code, shown, _ = swift_here(rows, "data", "check", "rows.jsonl", "--pii")
    assert "1 row has personal data" in shown
    assert "13812345678" not in out + shown + err
    assert "ada@" not in out + shown + err
    assert swift_here(rows, "data", "check", "rows.jsonl")[0] == 0


def test_redacted_rows_are_what_is_written_and_trained_on(rows, tiny_model):
    assert swift_here(rows, "data", "convert", "rows.jsonl", "--data.redact", "--output", "clean.jsonl")[0] == 0
    first = json.loads((rows / "clean.jsonl").read_text().splitlines()[0])
    assert [message["content"] for message in first["messages"]] == ["电话[PHONE]", "Noted: [EMAIL]."]
    code, out, _ = swift_here(rows, "data", "show", "rows.jsonl", "--model", str(tiny_model), "--data.redact")
    assert (code, "[PHONE]" in out, "13812345678" in out) == (0, True, False)
    words = ("--dataset", "rows.jsonl", "--max-steps", "1", "--max-length", "64", "--output", "tuned", "--data.redact")
    code, _, err = swift_here(rows, "sft", "--model", str(tiny_model), *words)
    assert code == 0, err
    (sample,) = (rows / "runs").glob("*/mask_sample.json")
    assert "13812345678" not in sample.read_text()


def test_rows_with_questions_of_an_evaluation_are_found_and_left_out(rows):
    question = "Which of the seven rivers of the northern plain carries the most water in spring?"
    lines = [{"prompt": f"Q: {question}", "response": "The third."}, {"prompt": "Hi", "response": "Hello."}]
    (rows / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (rows / "eval.jsonl").write_text(json.dumps({"question": question.upper(), "answer": "3"}) + "\n")
    code, out, _ = swift_here(rows, "data", "check", "train.jsonl", "--against", "eval.jsonl", "--json")
    found = json.loads(out)["train"][0]
    assert (code, found["overlaps"], found["overlapping"]) == (1, 1, [["train.jsonl, row 1", "eval.jsonl, row 1"]])
    code, out, _ = swift_here(rows, "data", "convert", "train.jsonl", "--against", "eval.jsonl", "--output", "clean.jsonl")
    assert (code, "left out: 1 rows" in out) == (0, True)
    assert len((rows / "clean.jsonl").read_text().splitlines()) == 1
