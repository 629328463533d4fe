"""Writes docs/reference/rows.md: how rows go through each architecture that transformers has, asked as a run asks its model.

python docs/rows.py
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from swift_train.options import PretrainOptions
from swift_train.row_isolation import Isolation, probe_isolation
from swift_train.tasks import PretrainTask
from swift_train.testing_architectures import NOT_SMALL, NOT_TRAINED, causal_types, small_model

from swift_core.plugins.registry import registry

PAGE = Path(__file__).parent / "reference" / "rows.md"
HEAD = """# Rows in one pass, by architecture

Before it trains, every run asks its own loaded model whether rows that go through it in one pass are what each is alone
([what is trained](../explanation/training.md)). This is what small random models of the causal language models of transformers {version}
answered, on a CPU in float32, and of those for text and images that have positions of their own. `python docs/rows.py` writes it;
`make test-full LANE=architectures` trains each both ways. Nothing reads this table: on a GPU, where other kernels compute, a model may
answer otherwise.

{count} go together, {alone} alone.

| model type | rows | why |
|---|---|---|
"""
IMAGES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "internvl", "paligemma")


def answer(model_type: str) -> Isolation:
    """Ask a small model."""
    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: small_model(model_type), lambda module: torch.optim.SGD(module.parameters()))
    return probe_isolation(strategy, PretrainTask(PretrainOptions()), range(3, 250), 64)


def main() -> None:
    """Ask all of them, and write the page."""
    torch.set_num_threads(1)
    lines, count, alone = [], 0, 0
    for model_type in sorted({*causal_types(), *IMAGES}):
        if reason := NOT_SMALL.get(model_type) or NOT_TRAINED.get(model_type):
            lines.append(f"| {model_type} | not tried | {reason} |")
            continue
        found = answer(model_type)
        count, alone = count + found.together, alone + (not found.together)
        why = found.reason
        lines.append(f"| {model_type} | {found.boundaries.value if found.together else 'alone'} | {why.partition(': ')[2] or why} |")
    head = HEAD.format(version=importlib.metadata.version("transformers"), count=count, alone=alone)
    PAGE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
