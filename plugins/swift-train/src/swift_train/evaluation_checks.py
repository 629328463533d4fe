"""Checks of when a training is evaluated and saved, before it starts: what reads evaluations has some to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problem
from swift_train.callbacks import PART
from swift_train.checkpoint_scores import is_late

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contract import Run


def problems(run: Run) -> Iterator[Problem]:
    """Yield options that contradict each other, and the evaluations that early stopping and the best checkpoint lack."""
    options = run.part("task").options
    for what in ("eval", "save"):
        strategy = options.get(f"{what}_strategy", "steps")
        if options.get(f"{what}_steps") and strategy != "steps":
            message = f"has no effect with {what}_strategy: {strategy}"
            yield Problem(code="TRAIN-127", where=f"{what}_steps", message=message, hint=f"Omit it, or --{what}-strategy.", fatal=False)
    readers, metric = list(_readers(run, options)), options.get("metric_for_best_model", "loss")
    if not readers:
        return
    if is_late(run, metric):
        yield from _of_checkpoints(options, metric)
        return
    if not run.validation and not options.get("validation_ratio"):
        hint = "Give a validation set: --val-dataset FILE, or --validation-ratio 0.05."
        yield Problem(code="TRAIN-094", where=readers[0], message="it needs evaluations, but there are no validation rows", hint=hint)
    elif options.get("eval_strategy") != "epoch" and not (options.get("eval_steps") or options.get("evals_per_epoch")):
        message = "without it, the run is evaluated only before and after training, if at all"
        hint = "Set the steps between evaluations: --eval-steps 100, or evaluate each epoch: --eval-strategy epoch."
        yield Problem(code="TRAIN-095", where="eval_steps", message=f"{message}; {readers[0]} needs more", hint=hint)


def _of_checkpoints(options: Mapping[str, Any], metric: str) -> Iterator[Problem]:
    """Yield what is wrong if the metric is a score of saved checkpoints."""
    strategy = options.get("save_strategy", "steps")
    if strategy in ("best", "no"):
        message = f"{metric} is computed on saved checkpoints, but save_strategy: {strategy} saves none during training"
        yield Problem(code="EVAL-126", where="save_strategy", message=message, hint="Save checkpoints to score: --save-steps 200.")
    elif strategy == "steps" and not (options.get("save_steps") or options.get("saves_per_epoch")):
        message = "checkpoints are saved by the clock, so which ones are scored depends on the speed of the machine"
        yield Problem(code="EVAL-127", where="save_steps", message=message, hint="Set --save-steps, or --save-strategy epoch.", fatal=False)


def _readers(run: Run, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that need evaluations during the training."""
    choice = run.parts.get(f"{PART}early-stopping")
    if choice and choice.distribution == "swift-train":
        yield "callbacks"
    if options.get("load_best_model_at_end"):
        yield "load_best_model_at_end"
    if options.get("save_strategy") == "best":
        yield "save_strategy"
