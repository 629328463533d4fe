"""Filters of rows, as `swift data convert` applies them."""

from __future__ import annotations

import json

import pytest
from swift_plugin_row_filters.gopher import GopherQuality, GopherRepetition
from swift_plugin_row_filters.language import Language

from swift_core.cli import invoke
from swift_core.options import Invalid

PROSE = (
    "The plough went out to the mountain road before dawn, and the village had to wait with patience for the news that the pass was open. "
    "Those who have lived there know that a storm of this kind will be over by noon, so that nobody is in a hurry to leave the house."
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, ""),
        ("Too short, and that is all.", "not 50 to 100,000 words"),
        ("a b " * 40, "mean length of words"),
        (PROSE + " #tag" * 20, "too many symbols"),
        ("\n".join(f"- {line}" for line in PROSE.split(",") * 5), "too many bullets"),
        ("\n".join(f"{line}…" for line in (PROSE + PROSE).split(" and ")), "too many ellipses"),
        ("The and of 12345 67890 24680 " * 20, "too few words with letters"),
        ("Schneefall Strasse Winter Dorf Berge " * 12, "too few stop words"),
    ],
)
def test_quality(text, reason):
    assert GopherQuality().reason([text]) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, ""),
        (f"{PROSE}\nshort\nshort\nshort\nshort", "repeated lines"),
        ("\n".join(f"{PROSE} {n}\n\n{PROSE}\n" for n in range(2)), "repeated lines"),
        ("snow falls " * 30, "repeated sequences of 2 words"),
    ],
)
def test_repetition(text, reason):
    assert GopherRepetition().reason([text]) == reason


def test_language():
    english = Language(languages=["en"])
    assert english.reason([PROSE]) == ""
    assert english.reason(["今天夜里山区有大雪,请不要上路,等待道路开放的通知。"]) == "in another language than en"
    with pytest.raises(Invalid) as caught:
        Language.checked({"languages": ["english"]})
    assert "does not know english" in str(caught.value)


def test_convert_leaves_rows_out_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [PROSE, "今天夜里山区有大雪,请不要上路,等待道路开放的通知。", PROSE + " Once more."]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    assert invoke(["data", "convert", "a.jsonl", "--filter", "language:languages=en", "--output", "b.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == {"language: in another language than en": 1}
    assert [json.loads(line)["text"] for line in (tmp_path / "b.jsonl").read_text().splitlines()] == [rows[0], rows[2]]


@pytest.mark.parametrize("asked", ["langauge:languages=en", "language:en", "language:langs=en", "language"])
def test_a_wrong_filter_is_refused_before_anything_is_written(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": PROSE}) + "\n")
    assert invoke(["data", "convert", "a.jsonl", "--filter", asked, "--output", "b.jsonl"]) == 2
    assert "SWIFT-" in capsys.readouterr().err
    assert not (tmp_path / "b.jsonl").exists()
