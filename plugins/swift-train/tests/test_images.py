"""Rows with images in the one loop: the processor's own tokens, images made with the micro-batch, bad files named with their row."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from swift_data.reading import Skips
from swift_train.batches import collate
from swift_train.data import write_samples
from swift_train.inspection import Inspector
from swift_train.media.collate import MediaCollator
from swift_train.media.files import media_file
from swift_train.media.images import MAX_PIXELS, load_image
from swift_train.media.micro import MicroMedia
from swift_train.media.processor import MediaProcessor
from swift_train.media.rows import RowMedia
from swift_train.options import MaskOptions, SftOptions
from swift_train.preprocessing import Preprocessing
from swift_train.row_groups import RowGroup
from swift_train.samples import Samples
from swift_train.store import Store
from swift_train.tasks import SftTask
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForImageTextToText, AutoProcessor

from swift_core.contract import RawRow, SwiftError, UsageError

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 50), "blue": (40, 60, 220), "yellow": (230, 210, 40)}


def row(*images: str, question: str = "<image>What colour?", answer: str = "red") -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **({"images": list(images)} if images else {})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("images")
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 30), colour).save(made / f"{name}.png")
    return made


@pytest.fixture(scope="module")
def processor(tiny_vlm: Path) -> Any:
    return AutoProcessor.from_pretrained(tiny_vlm)


def encoder_of(processor: Any, **options: Any) -> Any:
    processor.tokenizer.chat_template = processor.chat_template
    return SftTask(SftOptions(**options)).encoder(processor.tokenizer, media=RowMedia(None, MediaProcessor(processor)))


def samples_of(processor: Any, folder: Path, store: Path, *rows: dict[str, Any], **options: Any) -> Samples:
    made = Preprocessing(encoder=encoder_of(processor), truncation="error", max_length=512, options={})
    made = replace(made, **options)
    store.mkdir()
    write_samples(store, [RawRow(data, "rows.jsonl", number, folder) for number, data in enumerate(rows, 1)], made, Skips({}))
    return Samples([Store(store)])


def test_the_tokens_are_the_processors_own(processor, folder, tmp_path):
    data = row("red.png", "blue.png", question="One <image> and <image>?", answer="red, blue")
    samples = samples_of(processor, folder, tmp_path / "store", data)
    parts = [
        {"type": "text", "text": "One "},
        {"type": "image"},
        {"type": "text", "text": " and "},
        {"type": "image"},
        {"type": "text", "text": "?"},
    ]
    text = processor.apply_chat_template([{"role": "user", "content": parts}, {"role": "assistant", "content": "red, blue"}])
    images = [load_image(str(folder / f"{name}.png")) for name in ("red", "blue")]
    expected = processor(text=[text], images=[images], return_tensors="pt")
    assert samples[0].ids.tolist() == expected["input_ids"][0].tolist()
    media = MediaCollator(MediaProcessor(processor), AutoModelForImageTextToText.from_pretrained(processor.tokenizer.name_or_path))(
        samples.sequences(0)
    )
    assert media is not None
    assert torch.equal(media.arguments["pixel_values"], expected["pixel_values"])
    supervised = processor.tokenizer.decode(samples[0].ids[samples[0].supervised])
    assert supervised == "red, blue<|im_end|>"


def test_no_token_of_a_picture_is_supervised(processor, folder, tmp_path):
    encoder = encoder_of(processor, mask=MaskOptions(turns="everything"))
    samples = samples_of(processor, folder, tmp_path / "store", row("red.png"), encoder=encoder)
    ids, supervised = samples[0].ids, samples[0].supervised
    image = ids == processor.image_token_id
    assert image.sum() == 4
    assert not supervised[image].any()
    assert supervised[~image][1:].all()


def test_the_store_has_paths_and_no_pixels(processor, folder, tmp_path):
    samples = samples_of(
        processor,
        folder,
        tmp_path / "store",
        row("red.png"),
        row(question="Hi", answer="Hello"),
        row("blue.png", "red.png", question="<image><image>?"),
    )
    assert [[Path(file.path).stem for file in samples[number].media] for number in range(3)] == [["red"], [], ["blue", "red"]]
    assert samples.media_counts.tolist() == [1, 0, 2]
    assert samples[0].media[0].size == (30, 20)
    assert sum(file.stat().st_size for file in (tmp_path / "store").iterdir()) < 4000


def test_rows_of_a_micro_batch_have_their_own_pictures(processor, folder, tmp_path, tiny_vlm):
    model = AutoModelForImageTextToText.from_pretrained(tiny_vlm).eval()
    media = MediaCollator(MediaProcessor(processor), model)
    samples = samples_of(
        processor, folder, tmp_path / "store", row("red.png"), row(question="Hi", answer="Hello"), row("blue.png", answer="blue")
    )
    task = SftTask(SftOptions())
    with torch.no_grad():
        alone = torch.cat([task.forward(model, collate(samples, RowGroup((number,), 1.0), media=media)) for number in range(3)])
        together = task.forward(model, collate(samples, RowGroup((0, 1, 2), 1.0), media=media))
        swapped = task.forward(model, collate(samples, RowGroup((0, 1, 2), 1.0), media=lambda parts: _swapped(media(parts))))
    assert (alone - together).abs().max() < 1e-5
    assert (alone - swapped).abs().max() > 1e-3
    micro = collate(samples, RowGroup((0, 1, 2), 1.0), media=media)
    only = micro.only(torch.tensor([False, False, True]))
    assert only.media is not None
    assert torch.equal(only.media.arguments["pixel_values"], micro.media.arguments["pixel_values"][1:])


def _swapped(media: MicroMedia) -> MicroMedia:
    return replace(media, inputs=(media.inputs[2], media.inputs[1], media.inputs[0]))


def test_a_model_learns_from_pictures_and_is_saved_with_its_processor(folder, tiny_vlm, tmp_path):
    rows = [row(f"{name}.png", answer=name) for name in COLOURS] + [row(question="Hi", answer="Hello")]
    file = write_rows(folder / "rows.jsonl", rows)
    run = training_run(tiny_vlm, file, tuner="full", max_steps=12, learning_rate=3e-3, schedule="constant", batch_size=5)
    losses = [step["loss"] for step in run_training(run, tmp_path / "run")]
    assert losses[-1] < losses[0] / 4
    report = json.loads((tmp_path / "run" / "parallel.json").read_text())
    assert report["rows"]["together"]
    assert report["rows"]["figures"]["media_effect"] > report["rows"]["figures"]["media_tolerance"]
    output = tmp_path / "run" / "output"
    assert type(AutoProcessor.from_pretrained(output)).__name__ == "LlavaProcessor"
    options = {"max_steps": 3, "learning_rate": 3e-3, "schedule": "constant", "batch_size": 1, "gradient_accumulation_steps": 5}
    one_by_one = run_training(training_run(tiny_vlm, file, tuner="full", **options), tmp_path / "other")
    assert [step["loss"] for step in one_by_one] == pytest.approx(losses[:3], rel=1e-5)


@pytest.mark.parametrize(("truncation", "kept"), [("right", 2), ("left", 2), ("split", 1), ("drop", 1)])
def test_a_picture_is_never_cut(processor, folder, tmp_path, truncation, kept):
    long = row("red.png", question="<image>What colour?", answer="red " * 40)
    behind = row("red.png", question="Why? " * 40 + "<image>", answer="red")
    fits = row("blue.png", answer="blue")
    samples = samples_of(processor, folder, tmp_path / "store", long, behind, fits, truncation=truncation, max_length=60)
    assert len(samples) == kept
    assert all((sample.ids == processor.image_token_id).sum() == 4 for sample in (samples[number] for number in range(kept)))
    assert samples.stores[0].meta["dropped"] == 3 - kept


def test_a_row_that_is_too_long_is_refused(processor, folder, tmp_path):
    with pytest.raises(UsageError, match="max_length") as caught:
        samples_of(processor, folder, tmp_path / "store", row("red.png", answer="red " * 40), max_length=60)
    assert caught.value.where == "rows.jsonl, row 1"


def _png(image: Image.Image, form: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def _bomb() -> bytes:
    """A PNG of 50,000 × 50,000 pixels in its head, without their data."""
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


RED = Image.new("RGB", (20, 30), COLOURS["red"])
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8))
BAD = {
    "truncated.png": (_png(NOISE)[:2000], "damaged"),
    "truncated.jpg": (_png(NOISE, "JPEG")[:1500], "damaged"),
    "bomb.png": (_bomb(), "exceeds limit"),
    "animated.gif": (_png(RED, "GIF", save_all=True, append_images=[RED.rotate(90, expand=False), NOISE.resize((20, 30))]), "animated"),
    "float.tiff": (_png(Image.new("F", (8, 8), 0.5), "TIFF"), "32 bits"),
    "head.png": (b"\x89PNG\r\n\x1a\n", "can't be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_named_with_their_row(processor, tmp_path, name):
    content, message = BAD[name]
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SwiftError) as caught:
        samples_of(processor, tmp_path, tmp_path / "store", row("good.png"), row(name))
    assert caught.value.where == "rows.jsonl, row 2"
    assert message in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (row("red.png", question="<image> A literal <image>", answer="x"), "1 image file, but 2 <image> placeholders"),
        (row(question="What is <image>?"), "1 placeholders '<image>' and 0 image files"),
        (row("none.png"), "there is no file"),
        ({**row(question="?"), "audios": ["sound.wav"]}, "contains audio"),
        ({**row(question="?"), "videos": ["film.mp4"]}, "contains video"),
    ],
)
def test_placeholders_without_files_and_other_media(processor, folder, tmp_path, data, message):
    (folder / "sound.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0")
    with pytest.raises(SwiftError) as caught:
        samples_of(processor, folder, tmp_path / "store", data)
    assert caught.value.where.startswith("rows.jsonl, row 1")
    assert message in caught.value.message


def test_a_model_of_text_refuses_pictures(folder, tiny_model, tmp_path):
    run = training_run(tiny_model, write_rows(folder / "rows.jsonl", [row("red.png")]), max_steps=1)
    with pytest.raises(UsageError, match="trained on text only") as caught:
        run_training(run, tmp_path / "run")
    assert caught.value.where.endswith("row 1")


def test_pictures_are_decoded_as_they_are_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    half = Image.new("RGB", (40, 20), "black")
    half.paste("white", (0, 0, 20, 20))
    half.save(tmp_path / "turned.png", exif=exif)
    turned = load_image(str(tmp_path / "turned.png"))
    assert turned.size == (20, 40)
    assert turned.getpixel((10, 5)) == (255, 255, 255)
    assert turned.getpixel((10, 35)) == (0, 0, 0)
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    red, green, blue = load_image(str(tmp_path / "cmyk.jpg")).getpixel((1, 1))
    assert (red > 240, green < 15, blue < 15) == (True, True, True)
    Image.fromarray(np.full((4, 4), 256 * 100 + 7, np.uint16)).save(tmp_path / "deep.png")
    assert load_image(str(tmp_path / "deep.png")).getpixel((0, 0)) == (100, 100, 100)
    Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(tmp_path / "clear.png")
    assert load_image(str(tmp_path / "clear.png")).mode == "RGB"
    assert MAX_PIXELS > 100_000_000


def test_a_data_url_is_kept_in_the_cache(processor, monkeypatch, tmp_path):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path))
    url = f"data:image/png;base64,{base64.b64encode(_png(RED)).decode()}"
    reader = MediaProcessor(processor)
    file = media_file("image", url, reader)
    assert file == media_file("image", url, reader)
    assert Path(file.path).parent == tmp_path / "media"
    assert file.size == (30, 20)


def test_a_file_that_changes_is_an_error(processor, tmp_path, tiny_vlm):
    RED.save(tmp_path / "a.png")
    samples = samples_of(processor, tmp_path, tmp_path / "store", row("a.png"))
    media = MediaCollator(MediaProcessor(processor), AutoModelForImageTextToText.from_pretrained(tiny_vlm))
    NOISE.save(tmp_path / "a.png")
    with pytest.raises(SwiftError, match="has changed"):
        media(samples.sequences(0))


def test_rows_with_pictures_are_checked_and_shown_without_training(folder, tiny_vlm):
    run = training_run(tiny_vlm, write_rows(folder / "rows.jsonl", [row("red.png")]))
    inspector = Inspector(run)
    (rendered,) = inspector.render(RawRow(row("red.png"), "rows.jsonl", 1, folder))
    assert sum(piece.weight for piece in rendered.pieces) == 1
    assert "<image><image><image><image>" in "".join(piece.text for piece in rendered.pieces)
