"""The loop against twenty lines of plain torch that pad, score every position, and know nothing of it."""

from __future__ import annotations

import pytest
import torch
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

RATE, SEEN, STEPS, CLIP = 1e-3, 4, 6, 0.5


def plain_torch(folder, chats):
    """Loss and gradient norm of each step: padded batches in the order of the rows, twice over."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.999), weight_decay=0.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 2, STEPS)
    results = []
    for step in range(STEPS):
        start = step % 3 * SEEN
        texts = [tokenizer.apply_chat_template(chat["messages"], tokenize=False) for chat in chats[start : start + SEEN]]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt")
        labels = torch.full_like(batch.input_ids, -100)
        for row, text in enumerate(texts):
            for turn in text.split("<|im_start|>assistant\n")[1:]:
                before = text[: text.index(turn)]
                first = len(tokenizer(before, add_special_tokens=False).input_ids)
                last = first + len(tokenizer(turn[: turn.index("<|im_end|>")] + "<|im_end|>", add_special_tokens=False).input_ids)
                labels[row, first:last] = batch.input_ids[row, first:last]
        logits = model(**batch).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        results.append((loss.item(), norm.item()))
    return results


def test_same_losses_and_gradients(tiny_model, tmp_path):
    """Ten rows in steps of 4, 4 and 2, clipped, with warm-up."""
    chats = ragged_chats(10)
    for number, chat in enumerate(chats):  # turns that differ, so that the plain loop finds each by its text
        for place, message in enumerate(chat["messages"]):
            message["content"] += f" ({number}, {place})"
    run = training_run(
        tiny_model, write_rows(tmp_path / "rows.jsonl", chats), tuner="full", learning_rate=RATE, epochs=2, batch_size=SEEN, shuffle=False,
        max_grad_norm=CLIP, warmup_steps=2,
    )  # fmt: skip
    ours = [(line["loss"], line["grad_norm"]) for line in run_training(run, tmp_path / "run")]
    theirs = plain_torch(tiny_model, chats)
    assert all(norm > CLIP for _, norm in theirs)
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("tokens", [None, 90, 10_000])
def test_how_rows_are_cut_does_not_matter(tiny_model, tmp_path, tokens):
    """Each alone, some together, or all at once in one variable-length batch."""
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))
    settings = {"tuner_options": {"dropout": 0.0}, "max_steps": 3, "learning_rate": 1e-2}
    alone = run_training(training_run(tiny_model, rows, batch_size=8, **settings), tmp_path / "alone")
    cut = run_training(
        training_run(tiny_model, rows, batch_size=4, gradient_accumulation_steps=2, micro_tokens=tokens, **settings), tmp_path / "cut"
    )
    for key in ("loss", "grad_norm"):
        assert [line[key] for line in cut] == pytest.approx([line[key] for line in alone], abs=1e-5)
