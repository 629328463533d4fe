"""Groups and levels of options: which ones a form shows at once, and the headings over the rest.

The table is separate from the options, which many plugins declare: an option that no pattern matches is under the heading of its part, one
of a third party's verb under "Other", so that none is missing.
"""

from __future__ import annotations

import re

MOST_BASIC = 9
BASIC = (
    "model", "dataset", "url", "tuner", "learning_rate", "epochs", "max_steps", "max_length", "batch_size", "tuner.rank", "adapter",
    "quantizer", "exporter", "backend", "evaluator", "tasks", "bits", "port", "output",
)  # fmt: skip
HIDDEN = frozenset({
    "envs", "trust_remote_code", "runs", "plan", "launcher", "callbacks", "offline", "resume", "api_key_env", "nodes",
    "teacher_api_key_env", "modules", "multi_turn_scheduler", "tools", "allow_code", "extra", "options", "runtime_adapters",
    "runtime_weights",
})  # fmt: skip
"""Parts of paths that a page does not offer: options that run code, name interpreters, reach other folders, or belong to the page."""
NAMES = frozenset({"reward_funcs", "metrics"})
"""Options that take names of plugins, and also code (FILE.py:FUNCTION, MODULE:CLASS), which a page refuses."""

_GROUPS = (
    ("Evaluation", r"eval|validation|val_dataset|metric_for|greater_is|load_best|few_shot|samples$|limit$|tasks|data$|concurrency"),
    ("Data", r"dataset|data\.|truncation|mask|packing|shuffle|group_by_length|media\.|tokenize_only|calibration|training_rows"),
    ("Labels", r"num_labels|label_names|problem_type|use_chat_template|yes_token|no_token|instruction$"),
    ("Labels", r"negatives|query_|document_|pooling|normalize"),
    (
        "Steps and learning rate",
        r"\w*learning_rate|vit_lr|aligner_lr|epochs|max_steps|warmup|schedule|max_grad_norm|seed|optimizer|neftune",
    ),
    (
        "Memory and speed",
        r"batch_size|gradient_|micro_tokens|max_length|compile|dtype|device|attention|quantizer|activation_offload|kernels|fp8",
    ),
    ("Checkpoints", r"save|logging|on_nan|report_to"),
    ("Loss", r"loss|.*_alpha|focal|label_smoothing|z_loss|router_loss|beta$|discopop|reward|.*desirable|rpo|simpo|margin"),
    ("Loss", r"matryoshka|lmbda|epsilon|delta|importance|sapo|scale_rewards|advantage|center_rewards|in_batch|false_negative|reference"),
    ("Sampling", r"rollout|num_generations|num_iterations|max_completion|max_tokens|temperature|top_|min_p|repetition|stop$"),
    ("Sampling", r"steps_per_gen|max_turns|turn_|dynamic|max_resample|teacher"),
    ("Chat template", r"chat_template|system|template_variables"),
    ("Processes", r"processes|parallel|ddp"),
    ("Checks", r"verify|parity|require_signature"),
    ("Server", r"host|port$|name$|url|startup_timeout|backend|engine_nodes|node_rank|master_"),
    ("Model", r"model|max_model_len|adapter|family|hub|allow_other_base|loader|tuner|experts|new_\w*tokens|rope_scaling|freeze_"),
    ("Output", r"output|overwrite|force|exporter|push_to"),
)
_BY_SECTION = {"Backend": "Server", "Task": "Loss", "Tuner": "Model", "Parallel": "Processes", "Optimizer": "Steps and learning rate"}
_OF_PARTS = ("Quantizer", "Exporter", "Evaluator")


def group_of(path: str, section: str = "") -> str:
    """Return the heading of an option.

    Args:
        path: its dotted path.
        section: its heading in the help of the command, such as "Backend vllm".
    """
    if found := next((name for name, pattern in _GROUPS if re.match(pattern, path)), None):
        return found
    part = section.partition(" ")[0]
    return _BY_SECTION.get(part) or (part if part in _OF_PARTS else "Other")


def basic(paths: list[str]) -> list[str]:
    """Return the options that are shown at once, at most nine, in their order."""
    return [path for path in BASIC if path in paths][:MOST_BASIC]
