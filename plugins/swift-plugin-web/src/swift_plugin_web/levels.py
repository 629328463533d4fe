"""Groups and levels of options: which ones a form shows at once, and the headings over the rest.

The table stands beside the options, which many plugins declare: an option that no pattern names is under the heading of its part.
"""

from __future__ import annotations

import re

MOST_BASIC = 9
BASIC = (
    "model", "dataset", "url", "tuner", "learning_rate", "epochs", "max_steps", "max_length", "batch_size", "tuner.rank", "adapter",
    "quantizer", "exporter", "backend", "evaluator", "benchmarks", "bits", "port", "output",
)  # fmt: skip
HIDDEN = frozenset({"envs", "trust_remote_code", "runs", "plan", "launcher", "callbacks", "offline", "resume", "api_key_env", "nodes"})
"""Options that a page does not offer: they run code, name interpreters, or belong to the page."""

_GROUPS = (
    ("Data", r"dataset|val_dataset|data\.|truncation|mask|packing|shuffle|group_by_length|dataset_options"),
    ("Steps and learning rate", r"learning_rate|min_learning_rate|epochs|max_steps|warmup|schedule|max_grad_norm|seed|optimizer"),
    ("Memory and speed", r"batch_size|gradient_|micro_tokens|max_length|compile|dtype|device|attention|quantizer"),
    ("Evaluation", r"eval_|validation|metric_for|greater_is|load_best"),
    ("Checkpoints", r"save_|logging|on_nan"),
    ("Chat template", r"chat_template|system|template_variables"),
    ("Processes", r"processes|parallel|ddp"),
    ("Model", r"model|adapter|family|hub|allow_other_base|loader|tuner"),
    ("Output", r"output|overwrite|force"),
)


def group_of(path: str) -> str:
    """Return the heading of an option."""
    return next((name for name, pattern in _GROUPS if re.match(pattern, path)), "Other")


def basic(paths: list[str]) -> list[str]:
    """Return the options that are shown at once, at most nine, in their order."""
    return [path for path in BASIC if path in paths][:MOST_BASIC]
