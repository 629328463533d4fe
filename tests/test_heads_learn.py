"""A classifier and an embedding model on the real model beat their untrained heads on held-out rows."""

from __future__ import annotations

import random

import pytest
from swift_train.testing import run_training, training_run, write_rows

pytestmark = pytest.mark.full("references")
CAPITALS = """France Paris, Italy Rome, Spain Madrid, Germany Berlin, Austria Vienna, Greece Athens,
Portugal Lisbon, Norway Oslo, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Poland Warsaw,
Hungary Budapest, Ireland Dublin, Belgium Brussels, Russia Moscow, Ukraine Kiev, Turkey Ankara,
Egypt Cairo, Kenya Nairobi, Japan Tokyo, China Beijing, India Delhi, Iran Tehran,
Iraq Baghdad, Cuba Havana, Peru Lima, Chile Santiago, Argentina Buenos-Aires, Canada Ottawa,
Australia Canberra, Thailand Bangkok, Vietnam Hanoi, Romania Bucharest, Bulgaria Sofia, Serbia Belgrade"""
PAIRS = [tuple(pair.split()) for pair in CAPITALS.replace("\n", " ").split(",")]
KINDS = {
    "animal": "dog cat horse cow sheep lion tiger wolf bear fox eagle shark",
    "food": "bread cheese apple rice soup pasta cake butter salad pizza honey egg",
    "vehicle": "car truck bus train bicycle ship plane tractor van boat taxi scooter",
}
SETTINGS = {"batch_size": 12, "learning_rate": 5e-4, "max_steps": 12, "tuner": "lora", "eval_strategy": "steps"}


def learn(model, folder, rows, *, task, **options):
    """Return the metrics on the last third of the rows, before and after training on the others."""
    random.Random(3).shuffle(rows)
    cut = len(rows) * 2 // 3
    files = [write_rows(folder / f"{name}.jsonl", part) for name, part in (("train", rows[:cut]), ("heldout", rows[cut:]))]
    run = training_run(model, files[0], task=task, validation=files[1], tuner_options={"rank": 8}, **{**SETTINGS, **options})
    found = [line["heldout_accuracy"] for line in run_training(run, folder / "run") if "heldout_accuracy" in line]
    print(f"{task}: {found[0]:.3f} -> {found[-1]:.3f} on {len(rows) - cut} rows")
    return found[0], found[-1]


def test_a_classifier(smollm2, tmp_path):
    rows = [{"messages": [{"role": "user", "content": word}], "label": kind} for kind, words in KINDS.items() for word in words.split()]
    before, after = learn(smollm2, tmp_path, rows, task="seq-cls", num_labels=3, label_names=list(KINDS), max_steps=24, learning_rate=1e-3)
    assert after >= before + 0.25
    assert after >= 0.75


def test_an_embedding_model(smollm2, tmp_path):
    rows = [{"query": f"the capital of {country}", "positive": capital} for country, capital in PAIRS]
    before, after = learn(smollm2, tmp_path, rows, task="embedding")
    assert after >= before + 0.25
