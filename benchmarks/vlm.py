"""A step of full fine-tuning on pictures: ours against TRL's SFTTrainer with its collator, on the same rows, as ratios in one run.

    python benchmarks/vlm.py [--steps 12] [--rounds 3] [--threads 1]

The model is a small random LLaVA (CLIP tower and Llama of 6 layers each; 112 × 112 pixels, so 196 tokens a picture). The pictures are JPEG
files of 640 × 480 pixels, answers have 5 to 60 words, and every fourth row has no picture. Both: float32, 8 rows a step in their order, the
assistant's turns supervised, AdamW. TRL runs without gradient checkpointing, with the rows of a step padded to the longest (`trl-padded`),
or one row at a time with eight accumulated (`trl-rows`). Each side is a process of its own; sides alternate. The first step is warm-up and
not counted. Needs trl and datasets.

Figures: real tokens and pictures per CPU-second (padding is none), from the process's CPU time around the steps, which includes threads
that decode; peak resident memory; the losses of both, which must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import ratio
from sft_step import TEMPLATE, Clock, recorder, trl_callback

ROWS_A_STEP, SIZE = 8, 112
PARTS: dict[str, dict[str, Any]] = {
    "text_config": {
        "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6, "head_dim": 64,
        "initializer_range": 0.02,
    },
    "vision_config": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4},
}  # fmt: skip
_CONTENT = (
    "{%- macro said(content) -%}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}{%- endmacro -%}"
)


def prepared(folder: Path, steps: int) -> tuple[Path, Path, int, int]:
    """Write the model and the rows; return their paths, and the tokens and pictures of the counted steps."""
    import numpy as np
    import torch
    from PIL import Image
    from swift_testing.tiny_vlm import write_tiny_vlm
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    model = write_tiny_vlm(folder / "model", image_size=SIZE)
    config: Any = AutoConfig.from_pretrained(model)
    for part, sizes in PARTS.items():
        getattr(config, part).update(sizes)
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(model)
    words = ("the", "red", "box", "is", "near", "a", "tall", "green", "tree", "and", "far", "from", "water")
    dice, noise = random.Random(0), np.random.default_rng(0)
    rows, tokens, pictures = [], 0, 0
    processor: Any = AutoProcessor.from_pretrained(model)
    for number in range(ROWS_A_STEP * steps):
        answer = {"role": "assistant", "content": " ".join(dice.choices(words, k=dice.randint(5, 60)))}
        seen = number % 4 != 3
        if seen:
            small = Image.fromarray(noise.integers(0, 255, (12, 16, 3), np.uint8))
            small.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
        question = {"role": "user", "content": "<image>What do you see?" if seen else "What is it?"}
        rows.append({"messages": [question, answer], **({"images": [f"{number}.jpg"]} if seen else {})})
        if number >= ROWS_A_STEP:
            text = processor.apply_chat_template([question, answer])
            tokens += len(processor.tokenizer(text, add_special_tokens=False)["input_ids"]) + seen * ((SIZE // 8) ** 2 - 1)
            pictures += seen
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return model, file, tokens, pictures


def ours(model: Path, rows: Path, steps: int) -> Clock:
    from swift_train.job import train
    from swift_train.testing import training_run

    clock = Clock()
    settings: dict[str, Any] = {"learning_rate": 1e-4, "schedule": "constant", "max_grad_norm": 1.0}
    how = {"batch_size": ROWS_A_STEP, "shuffle": False, "mask": {"end": "separator"}, "max_steps": steps}
    with tempfile.TemporaryDirectory() as folder:
        train(training_run(model, rows, tuner="full", **settings, **how), recorder(clock, Path(folder)))
    return clock


def trl(model: Path, rows: Path, steps: int, *, at_once: int) -> Clock:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import SFTConfig, SFTTrainer

    clock = Clock()
    processor: Any = AutoProcessor.from_pretrained(model)
    template = _CONTENT + TEMPLATE.replace("message['content']", "said(message['content'])")
    processor.chat_template = processor.tokenizer.chat_template = template
    data = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, per_device_train_batch_size=at_once,
            gradient_accumulation_steps=ROWS_A_STEP // at_once, max_steps=steps, learning_rate=1e-4, lr_scheduler_type="constant",
            weight_decay=0.0, max_grad_norm=1.0, max_length=None, assistant_only_loss=True, train_sampling_strategy="sequential",
            dataloader_pin_memory=False, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, seed=42,
            remove_unused_columns=False,
        )  # fmt: skip
        from datasets import Image, Sequence

        table = Dataset.from_list(
            [
                {
                    "messages": [{**message, "content": message["content"].replace("<image>", "")} for message in row["messages"]],
                    "images": [str(rows.parent / name) for name in row.get("images", ())],
                }
                for row in data
            ]
        ).cast_column("images", Sequence(Image()))
        loaded: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32)
        SFTTrainer(model=loaded, args=arguments, train_dataset=table, processing_class=processor, callbacks=[trl_callback(clock)]).train()
    return clock


SIDES = {
    "ours": ours,
    "trl-padded": lambda *args: trl(*args, at_once=ROWS_A_STEP),
    "trl-rows": lambda *args: trl(*args, at_once=1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path, help="where a side finds the model and the rows")
    args = parser.parse_args()
    if args.side:
        import torch

        torch.set_num_threads(args.threads)
        clock = SIDES[args.side](args.folder / "model", args.folder / "rows.jsonl", args.steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"cpu": clock.cpu, "losses": clock.losses, "peak_gb": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        *_, tokens, pictures = prepared(Path(folder), args.steps)
        results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1"}
        given = ["--steps", str(args.steps), "--threads", str(args.threads), "--folder", folder]
        for _ in range(args.rounds):
            for side, found in results.items():
                command = [sys.executable, __file__, *given, "--side", side]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment).stdout
                found.append(json.loads(output.splitlines()[-1]))
    show(tokens, pictures, results)


def show(tokens: int, pictures: int, results: dict[str, list[dict[str, Any]]]) -> None:
    """A table: medians over the rounds, and ratios to ours."""
    cpu = {side: statistics.median(sum(one["cpu"][1:]) for one in found) for side, found in results.items()}
    print("| side | tokens per CPU-second | pictures per CPU-second | ours is | peak GB | first and last loss |")
    print("|---|---|---|---|---|---|")
    for side, found in results.items():
        peak, losses = statistics.median(one["peak_gb"] for one in found), found[0]["losses"]
        figures = f"{tokens / cpu[side]:.0f} | {pictures / cpu[side]:.1f} | {cpu[side] / cpu['ours']:.2f}× | {peak:.2f}"
        if side != "ours":
            ratio(f"tokens per CPU-second to {side}", cpu[side] / cpu["ours"])
        print(f"| {side} | {figures} | {losses[0]:.4f}, {losses[-1]:.4f} |")


if __name__ == "__main__":
    main()
