"""The traced peak of a step on rows with images is what torch then allocates, the image encoder included."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image
from swift_plan import device_named
from swift_plan.checkpoint_shapes import shapes_of
from swift_plan.planning import STEP, plan_of
from swift_plan.server import rows_of
from swift_plan.tracing import trace
from swift_plan.workload import Rows, Workload, workload_of
from swift_testing.tiny_vlm import write_tiny_vlm
from swift_testing.vision_models import write_vision_model
from swift_train.testing import training_run, write_rows

SCRATCH = 300_000  # bytes that kernels take, and models of this size show


def write_pictures(folder):
    Image.new("RGB", (320, 240), "red").save(folder / "red.png")
    question = {"role": "user", "content": "<image>What colour?"}
    seen = {"messages": [question, {"role": "assistant", "content": "Red."}], "images": ["red.png"]}
    read = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello " * 20}]}
    return write_rows(folder / "rows.jsonl", [seen, read])


def measured(run, work):
    spec = importlib.util.spec_from_file_location("swift_plan_measured", Path(__file__).parent / "measured.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.step_peak(run, work)


def peak(found):
    return max(found.peaks[name].total for name in (*STEP, "update") if name in found.peaks)


def case(folder, model, **options):
    run = training_run(model, write_pictures(folder), max_length=300, **options)
    rows = Rows.from_json(rows_of(run))
    assert rows.media is not None
    return run, workload_of(run, shapes_of(model), kind="cpu", rows=rows)


def test_the_image_encoder_is_traced(tmp_path):
    run, work = case(tmp_path, write_tiny_vlm(tmp_path / "model", image_size=96), tuner="full", batch_size=2)
    assert Workload.from_json(work.to_json()) == work
    found = peak(trace(run, work, "float32"))
    assert found == pytest.approx(measured(run, work), rel=0.01)
    assert found > 1.2 * peak(trace(run, Workload(lengths=work.lengths), "float32")), "without images the encoder is not called"


def test_a_plan_says_if_images_are_not_counted(tmp_path):
    model = write_tiny_vlm(tmp_path / "model")
    run, work = case(tmp_path, model, batch_size=1)
    note = "encoder are not counted"
    rows = Rows(longest=work.lengths[0], media=work.media)
    assert any(note in each for each in plan_of(run, device_named("rtx3090"), traced=False, rows=rows).notes)
    short = Rows(longest=8, media=work.media)
    assert workload_of(run, shapes_of(model), kind="cuda", rows=short).media is None, (
        "a row that is longer than the others' limit is dropped"
    )


@pytest.mark.full("plan")
@pytest.mark.parametrize("options", [{"tuner": "full"}, {"tuner": "lora", "gradient_checkpointing": True}], ids=str)
@pytest.mark.parametrize("family", ["gemma3", "idefics3", "llava"])
def test_families_of_vision_models_are_traced(tmp_path, family, options):
    run, work = case(tmp_path, write_vision_model(tmp_path / "model", family), **options)
    found, real = peak(trace(run, work, "float32")), measured(run, work)
    print(f"{family} {options}: planned {found / 2**20:.2f} MiB, measured {real / 2**20:.2f} MiB, {found / real - 1:+.2%}")
    assert found == pytest.approx(real, rel=0.01, abs=SCRATCH)
