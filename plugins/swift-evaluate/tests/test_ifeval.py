"""IFEval's verifiable instructions, and its scores: each check on texts that follow it and texts that do not."""

from __future__ import annotations

import json

import pytest
from swift_evaluate.metrics.ifeval import IfEval, follows, loose_texts
from swift_evaluate.metrics.instructions import CHECKS
from swift_evaluate.metrics.metric import Graded
from swift_testing.fake_engine import FakeEngine

FOLLOWED = {
    "keywords:existence": ({"keywords": ["cat", "mat"]}, "The Cat sat on the mat.", "The cat sat."),
    "keywords:frequency": ({"keyword": "cat", "frequency": 2, "relation": "at least"}, "Cat, cat.", "A cat."),
    "keywords:forbidden_words": ({"forbidden_words": ["cat"]}, "Two cats.", "One cat."),
    "keywords:letter_frequency": ({"letter": "a", "let_frequency": 2, "let_relation": "less than"}, "A", "Aa"),
    "length_constraints:number_sentences": ({"num_sentences": 2, "relation": "at least"}, "One. Two!", "It costs 3.50 dollars."),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "***One\n***\nTwo***", "One\n***\n***\nTwo"),
    "length_constraints:number_words": ({"num_words": 3, "relation": "less than"}, "two words", "these are three"),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "second"},
        'First.\n\n"Second", it says.',
        "Second.\n\nFirst.",
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[a] and [b]", "[a and b]"),
    "detectable_content:postscript": ({"postscript_marker": "P.P.S"}, "Bye.\nP. P. S. More", "Bye.\nP.S. More"),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "* one\n- two", "* one\n**bold**\n"),
    "detectable_format:constrained_response": ({}, "My answer is maybe.", "Maybe."),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*one* and *two*", "*one* and * *"),
    "detectable_format:multiple_sections": ({"section_spliter": "Section", "num_sections": 2}, "Section 1 a\nSection 2 b", "Section one"),
    "detectable_format:json_format": ({}, '```json\n{"a": [1]}\n```', '{"a": 1} is it'),
    "detectable_format:title": ({}, "<<A title>>\nText", "<<>>\nText"),
    "combination:two_responses": ({}, "One\n******\nTwo", "One\n******\nOne"),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Say hi."}, "say hi. Hi!", "Hi! Say hi."),
    "startend:end_checker": ({"end_phrase": "The end."}, 'So it was. "The END."', "The end. No."),
    "startend:quotation": ({}, ' "Quoted" ', '"Quoted'),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        "NASA in the USA-WEST",
        "Nasa in the USA",
    ),
    "punctuation:no_comma": ({}, "Red and blue", "Red, blue"),
}
WITH_LANGUAGE = {
    "language:response_language": (
        {"language": "fr"},
        "Bonjour à tous, comment allez-vous ce matin ?",
        "Good morning, how are you all today?",
    ),
    "change_case:english_capital": ({}, "THIS IS A SENTENCE IN ENGLISH FOR YOU.", "THIS IS A SENTENCE IN ENGLISH FOR you."),
    "change_case:english_lowercase": ({}, "this is a sentence in english for you.", "this is a sentence in English for you."),
}


@pytest.mark.parametrize("name", sorted(FOLLOWED))
def test_an_instruction_is_followed_or_not(name):
    arguments, right, wrong = FOLLOWED[name]
    assert follows(name, arguments, right)
    assert not follows(name, arguments, wrong)
    assert not follows(name, arguments, " \n")


@pytest.mark.parametrize("name", sorted(WITH_LANGUAGE))
def test_an_instruction_on_the_language_is_followed_or_not(name):
    pytest.importorskip("langdetect")
    arguments, right, wrong = WITH_LANGUAGE[name]
    assert follows(name, arguments, right)
    assert not follows(name, arguments, wrong)


def test_every_instruction_has_examples():
    assert set(CHECKS) == {*FOLLOWED, *WITH_LANGUAGE}


def test_loosely_without_first_line_last_line_and_asterisks():
    assert set(loose_texts("Sure!\n*One*\nBye.")) >= {"*One*", "One", "*One*\nBye.", "Sure!\n*One*"}
    row = {"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {"language": None}]}
    scores = IfEval().score(Graded(text='Sure, here:\n"One"', row=row))
    assert scores == {"prompt_strict": 0, "prompt_loose": 1, "followed_strict": 0, "followed_loose": 1}


def test_rows_are_asked_and_scored(swift_project):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    rows = [
        {"key": 1, "prompt": "Say hi.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {
            "key": 2,
            "prompt": "Say ho.",
            "instruction_id_list": ["startend:quotation", "length_constraints:number_words", "punctuation:no_comma"],
            "kwargs": [{}, {"num_words": 2, "relation": "at least"}, {}],
        },
    ]
    swift_project.write({"input_data.jsonl": rows})
    swift_project.run("eval", "prepare", "ifeval", "--from", "input_data.jsonl").assert_success()
    with FakeEngine(lambda messages: "Hi there" if "hi" in messages[-1]["content"] else "Ho, ho") as engine:
        for tasks in ("input_data.jsonl", "eval-data/ifeval"):
            swift_project.run("eval", engine.url, "--evaluator", "own-data", "--tasks", tasks).assert_success()
    for folder in swift_project.folder.glob("runs/*"):
        (scores,) = json.loads((folder / "scores.json").read_text())["scores"].values()
        values = {name: score["value"] for name, score in scores.items()}
        assert (values["prompt_strict"], values["instruction_strict"]) == (0.5, 0.5)  # 1 of 1, and 1 of 3
        assert values["followed_strict"] == pytest.approx((1 + 1 / 3) / 2)
    rows[0]["instruction_id_list"] = ["punctuation:no_coma"]
    swift_project.write({"wrong.jsonl": rows[:1]})
    swift_project.run("eval", engine.url, "--evaluator", "own-data", "--tasks", "wrong.jsonl").assert_failure("punctuation:no_coma")
    rows[1]["kwargs"][1] = {}
    swift_project.write({"wrong.jsonl": rows[1:]})
    swift_project.run("eval", engine.url, "--evaluator", "own-data", "--tasks", "wrong.jsonl").assert_failure("lacks 'relation' in kwargs")
