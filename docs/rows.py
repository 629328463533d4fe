"""Write docs/reference/rows.md: whether rows may share a forward pass in each architecture of transformers, tested as in a run.

python docs/rows.py
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from swift_testing.architectures import NOT_SMALL, NOT_TRAINED, causal_types, small_model
from swift_train.options import PretrainOptions
from swift_train.row_isolation import Isolation, probe_isolation
from swift_train.tasks import PretrainTask

from swift_core.plugins import registry

PAGE = Path(__file__).parent / "reference" / "rows.md"
HEAD = """# Rows in one forward pass, by architecture

Before training, every run tests on its loaded model whether rows that share a forward pass affect each other
([training](../explanation/training.md)). This table shows the result for small random models of the causal language models of transformers
{version}, and of image-text models with position ids of their own, on a CPU in float32. `python docs/rows.py` writes it;
`make test-full LANE=architectures` trains each model both ways. The table is not used by the code: on a GPU, with other kernels, the result
may differ.

"Alone" means that each row is computed by itself. {count} architectures compute rows together, {alone} alone.

| model type | rows | why |
|---|---|---|
"""
IMAGES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "internvl", "paligemma")


def isolation_of(model_type: str) -> Isolation:
    """Test a small model."""
    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: small_model(model_type), lambda module: torch.optim.SGD(module.parameters()))
    return probe_isolation(strategy, PretrainTask(PretrainOptions()), range(3, 250), 64)


def main() -> None:
    """Test all of them, and write the page."""
    torch.set_num_threads(1)
    lines, count, alone = [], 0, 0
    for model_type in sorted({*causal_types(), *IMAGES}):
        if reason := NOT_SMALL.get(model_type) or NOT_TRAINED.get(model_type):
            lines.append(f"| {model_type} | not tried | {reason} |")
            continue
        found = isolation_of(model_type)
        count, alone = count + found.together, alone + (not found.together)
        why = found.reason
        lines.append(f"| {model_type} | {found.boundaries.value if found.together else 'alone'} | {why.partition(': ')[2] or why} |")
    head = HEAD.format(version=importlib.metadata.version("transformers"), count=count, alone=alone)
    PAGE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
