"""Media of rows: parts where the marks are, and files that are there, within their folder and what they claim to be."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from swift_data.rows import ChatRow, PreferenceRow, PromptRow, RowError, canonical, normalise
from swift_data.rows.media import kinds_of

from swift_core.contract.roles import RawRow

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0"
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
URL = "https://example.com/cat.png"
ANSWER = {"role": "assistant", "content": "A cat."}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "rows"
    (inside / "deep").mkdir(parents=True)
    (inside / "a.png").write_bytes(PNG)
    (inside / "deep" / "b.png").write_bytes(PNG)
    (inside / "c.wav").write_bytes(WAV)
    (inside / "d.mp4").write_bytes(MP4)
    (inside / "notes.png").write_text("no image")
    (inside / "empty.png").touch()
    (tmp_path / "outside.png").write_bytes(PNG)
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    (inside / "near.png").symlink_to(inside / "a.png")
    return inside


def read(data, folder, accepted=("chat",), **kwargs):
    row = normalise(RawRow(data, "rows.jsonl", 7, folder), accepted, **kwargs)
    again = RawRow(json.loads(json.dumps(canonical(row))), "rows.jsonl", 7, folder)
    assert normalise(again, accepted, **kwargs) == row
    return row


def asked(data, folder, text="<image>What is it?"):
    row = read({"messages": [{"role": "user", "content": text}, ANSWER], **data}, folder)
    assert isinstance(row, ChatRow)
    return row.messages[0]["content"]


def refused(data, folder, text="What is it?") -> RowError:
    with pytest.raises(RowError) as caught:
        asked(data, folder, text)
    assert caught.value.hint
    return caught.value


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def image(source: Path | str) -> dict[str, str]:
    return {"type": "image", "image": str(source)}


def test_each_mark_is_the_place_of_a_file(folder):
    content = asked({"images": ["a.png", "deep/b.png"]}, folder, "One<image>two <image>")
    assert content == [text("One"), image(folder / "a.png"), text("two "), image(folder / "deep" / "b.png")]


def test_marks_in_several_messages_are_filled_in_order(folder):
    messages = [{"role": "user", "content": "<image>?"}, ANSWER, {"role": "user", "content": "And <image>"}, ANSWER]
    row = read({"messages": messages, "images": ["a.png", "deep/b.png"]}, folder)
    assert row.messages[0]["content"] == [image(folder / "a.png"), text("?")]
    assert row.messages[2]["content"] == [text("And "), image(folder / "deep" / "b.png")]
    assert row.messages[1] == ANSWER


def test_files_without_marks_go_in_front_of_the_first_question(folder):
    content = asked({"audios": "c.wav", "videos": ["d.mp4"], "image": "a.png"}, folder, "What?")
    expected = [
        image(folder / "a.png"),
        {"type": "video", "video": str(folder / "d.mp4")},
        {"type": "audio", "audio": str(folder / "c.wav")},
    ]
    assert content == [*expected, text("What?")]
    assert asked({"images": ["a.png"]}, folder, "") == [image(folder / "a.png")]


def test_a_mark_in_a_row_without_files_is_text(folder):
    assert asked({}, folder, "The tag <image>") == "The tag <image>"
    assert asked({"images": [], "image": None}, folder, "The tag <image>") == "The tag <image>"
    assert asked({"images": ["a.png"]}, folder, "<image><audio>") == [image(folder / "a.png"), text("<audio>")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (URL, URL),
        ({"url": URL}, URL),
        (DATA, DATA),
        ({"bytes": PNG, "path": "x.png"}, DATA.replace("image/png", "image/*")),
        ({"bytes": None, "path": "a.png"}, None),
        ({"path": "a.png"}, None),
        ("./deep/../a.png", None),
        ("near.png", None),
    ],
)
def test_files_in_every_spelling(folder, given, expected):
    for images in (given, [given]):
        assert asked({"images": images}, folder)[0] == image(expected or folder / "a.png")


def test_file_addresses_and_absolute_paths_are_paths(folder):
    for given in (str(folder / "a.png"), f"file://{folder}/a.png", f"file://localhost{folder}/a%2Epng"):
        assert asked({"images": [given]}, folder)[0] == image(folder / "a.png")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "image", "image": URL},
        {"type": "image", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
    ],
)
def test_image_parts_in_every_spelling(part):
    row = read({"messages": [{"role": "user", "content": [part, text("?")]}, ANSWER]}, None)
    assert row.messages[0]["content"] == [image(URL), text("?")]


def test_parts_with_data_in_them():
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    sound = {"data": base64.b64encode(WAV).decode(), "format": "wav"}
    parts = [{"type": "image", "source": source}, {"type": "input_audio", "input_audio": sound}]
    content = read({"messages": [{"role": "user", "content": parts}, ANSWER]}, None).messages[0]["content"]
    assert content[0] == image(DATA)
    assert content[1]["audio"].startswith("data:audio/wav;base64,UklGR")


def test_what_a_part_says_besides_is_kept(folder):
    part = {"type": "image", "image": "a.png", "max_pixels": 1000}
    content = read({"messages": [{"role": "user", "content": [part]}, ANSWER]}, folder).messages[0]["content"]
    assert content == [{**image(folder / "a.png"), "max_pixels": 1000}]


def test_empty_image_parts_are_marks(folder):
    messages = [{"role": "user", "content": [{"type": "image"}, text("?")]}, ANSWER]
    assert read({"messages": messages, "images": ["a.png"]}, folder).messages[0]["content"][0] == image(folder / "a.png")


def test_the_media_folder_goes_before_the_rows_own(folder, tmp_path):
    row = read({"messages": [{"role": "user", "content": "?"}, ANSWER], "images": ["outside.png"]}, folder, media_folder=tmp_path)
    assert row.messages[0]["content"][0] == image(tmp_path / "outside.png")


def test_media_of_preferences_and_prompts(folder):
    question = {"role": "user", "content": [{"type": "image", "image": "a.png"}, text("?")]}
    expected = {"role": "user", "content": [image(folder / "a.png"), text("?")]}
    no = {"role": "assistant", "content": "A dog."}
    whole = {"chosen": [question, ANSWER], "rejected": [question, no]}
    marked = {"prompt": "<image>?", "chosen": "A cat.", "rejected": "A dog.", "images": ["a.png"]}
    for data in (whole, marked):
        assert read(data, folder, ("preference",)) == PreferenceRow((expected,), (ANSWER,), (no,))
    row = read({"prompt": "<image>?", "images": ["a.png"], "solution": "cat"}, folder, ("prompt",))
    assert row == PromptRow((expected,), None, {"solution": "cat"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("none.png", "there is no file"),
        ("deep", "'deep' is a folder, not an image"),
        ("notes.png", "'notes.png' is not an image: it begins with b'no image'"),
        ("empty.png", "'empty.png' is not an image: it is empty"),
        ("c.wav", "'c.wav' is not an image: it is an audio file"),
        ("../outside.png", "leads out of"),
        ("link.png", "'link.png' is a symbolic link that leads out of"),
        ("s3://bucket/a.png", "unsupported URL scheme: 's3://bucket/a.png'"),
        ("file://elsewhere/a.png", "a file on another machine"),
        ("data:image/png,abc", "must contain base64"),
        ("data:image/png;base64,a", "can't be decoded"),
        ("data:image/png;base64,bm8=", "is not an image"),
        (3, "must name an image, not a number"),
        ({"name": "a.png"}, "must name an image, not an object"),
    ],
)
def test_files_that_are_none(folder, given, message):
    error = refused({"images": ["a.png", given]}, folder)
    assert error.where == "rows.jsonl, row 7, $.images[1]"
    assert message in error.message


def test_a_path_out_of_the_folder_is_answered_with_the_option(folder, tmp_path):
    for given in (str(tmp_path / "outside.png"), "../outside.png", "link.png"):
        assert "--data.media-folder" in refused({"images": [given]}, folder).hint
    assert "outside of" in refused({"images": [str(tmp_path / "outside.png")]}, folder).message
    assert "no folder" in refused({"images": ["a.png"]}, None).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(folder):
    (folder / "a.png").chmod(0)
    assert "can't be read" in refused({"images": ["a.png"]}, folder).message


@pytest.mark.parametrize(
    ("said", "images", "message"),
    [
        ("<image><image>", ["a.png"], "1 image file, but 2 <image> placeholders"),
        ("<image>", ["a.png", "a.png"], "2 image files, but 1 <image> placeholder"),
    ],
)
def test_as_many_marks_as_files(folder, said, images, message):
    error = refused({"images": images}, folder, said)
    assert error.where.endswith("$.images")
    assert message in error.message


def test_two_columns_of_one_kind(folder):
    error = refused({"images": ["a.png"], "image": "a.png"}, folder)
    assert error.where.endswith("$.image")
    assert "'images'" in error.message


def test_offline_addresses_are_refused(folder, monkeypatch):
    assert asked({"images": [URL]}, folder)[0] == image(URL)
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    error = refused({"images": [URL]}, folder)
    assert error.where.endswith("$.images[0]")
    assert "offline" in error.message
    assert asked({"images": [DATA]}, folder)[0] == image(DATA)


def test_a_file_that_was_replaced_is_looked_at_again(folder):
    assert asked({"images": ["a.png"]}, folder)
    (folder / "a.png").write_text("no image any more")
    assert "is not an image" in refused({"images": ["a.png"]}, folder).message


@pytest.mark.parametrize(
    ("start", "kinds"),
    [
        (PNG, ("image",)),
        (b"\xff\xd8\xff\xe0", ("image",)),
        (b"GIF89a", ("image", "video")),
        (b"RIFF\0\0\0\0WEBPVP8 ", ("image",)),
        (b"BM\0\0", ("image",)),
        (b"II*\0", ("image",)),
        (b"MM\0*", ("image",)),
        (WAV, ("audio",)),
        (b"ID3\x04", ("audio",)),
        (b"\xff\xfb\x90\0", ("audio",)),
        (b"fLaC", ("audio",)),
        (b"OggS", ("audio",)),
        (b"\0\0\0\x20ftypM4A ", ("audio",)),
        (MP4, ("video", "audio")),
        (b"\0\0\0\x14ftypqt  ", ("video", "audio")),
        (b"\0\0\0\x08wide", ("video",)),
        (b"\x1aE\xdf\xa3", ("video",)),
        (b"RIFF\0\0\0\0AVI LIST", ("video",)),
        (b"RIFF\0\0\0\0CDDA", ()),
        (b"\xff\xf3\x80\0", ("audio",)),
        (b"\xff\xfeh\0", ()),
        (b"\xff\xf1\x50\x80", ()),
        (b"<!DOCTYPE html>", ()),
        (b"", ()),
    ],
)
def test_formats_by_their_first_bytes(start, kinds):
    assert kinds_of(start) == kinds
