"""The losses that ms-swift 4.6.0, LLaMA-Factory 0.9.5 and TRL 1.16 give on the same job, on a real model.

200 rows of LLaMA-Factory's alpaca_en_demo.json after the system prompt 'You are a helpful assistant.', SmolLM2-135M-Instruct in
float32, LoRA of rank 8, alpha 32, no dropout, on all linear layers (2,442,240 weights), 512 tokens, 4 rows a step in their order,
rate 1e-4 throughout, no weight decay, norm 1, seed 42; supervised are the assistant's tokens, <|im_end|> and the newline after it.
The three agree on these figures within 0.001. They were given the tokenizer that transformers' GGUF reader makes of the file, which splits
texts as GPT-2 does, so the model gets that one here, too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from swift_data.choices import choose_dataset, fetch_dataset
from swift_train.testing import run_training, training_run, write_rows

from swift_core.plugins.registered import registry

PEERS = (
    1.732, 1.423, 1.789, 1.447, 1.681, 1.978, 1.167, 1.844, 1.38, 1.46, 1.823, 1.81, 1.895, 1.672, 1.407, 1.643, 1.439, 1.656, 1.5, 1.006,
)  # fmt: skip


@pytest.fixture(scope="module")
def peers_model(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers") / "model"
    shutil.copytree(smollm2, folder)
    (folder / "swift.json").unlink(missing_ok=True)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def losses(model, folder, steps):
    data = fetch_dataset(choose_dataset(registry(), f"alpaca-en-demo#{4 * steps}", {}, "dataset"))
    chats = []
    for raw in data.build().rows():
        question = "\n".join(filter(None, (raw.data["instruction"], raw.data.get("input"))))
        texts = {"system": "You are a helpful assistant.", "user": question, "assistant": raw.data["output"]}
        chats.append({"messages": [{"role": role, "content": text} for role, text in texts.items()]})
    rows = write_rows(folder / "rows.jsonl", chats[: 4 * steps])
    run = training_run(
        model,
        rows,
        tuner_options={"rank": 8, "alpha": 32, "dropout": 0.0},
        mask={"end": "separator"},
        learning_rate=1e-4,
        schedule="constant",
        batch_size=4,
        shuffle=False,
        max_length=512,
        truncation="right",
    )
    return [line["loss"] for line in run_training(run, folder)]


@pytest.mark.model
def test_the_first_losses(peers_model, tmp_path):
    assert losses(peers_model, tmp_path, 2) == pytest.approx(PEERS[:2], abs=1e-3)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.full("train")
def test_all_losses(peers_model, tmp_path):
    assert losses(peers_model, tmp_path, 20) == pytest.approx(PEERS, abs=1e-3)
