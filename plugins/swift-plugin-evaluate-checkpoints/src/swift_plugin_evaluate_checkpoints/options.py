"""Options of the callback `evaluate`."""

from __future__ import annotations

from typing import Any

from swift_core.options import Options, Several, option

PREFIX = "eval_"  # of the names of the scores among the metrics of the training


class EvaluateOptions(Options):
    """Options of the callback `evaluate`."""

    tasks: Several = option(list, "Tasks, as the evaluator names them.", also=("datasets", "dataset", "eval_dataset"))
    every: int = option(0, "Minimum steps between two checkpoints that are evaluated; 0: every checkpoint. The last one always is.", ge=0)
    evaluator: str | dict[str, Any] = option("own-data", "Evaluator: a name, or {name: …, option: …}.")
    limit: int = option(0, "Maximum items per task; 0: all.", ge=0, also=("eval_limit",))
    device: str = option(
        "auto",
        "Device of the evaluation: auto takes one that the training does not use; cuda:1, …; cpu shares the processors with the training.",
    )
    settings: dict[str, Any] = option(dict, "Further options of swift eval, by name: {backend: vllm, max_tokens: 256}.")

    def scores_checkpoints(self, metric: str) -> bool:
        """Return whether the metric has the name of a score: `eval_TASK.METRIC`."""
        return metric.startswith(PREFIX)

    def of_eval(self) -> dict[str, Any]:
        """Return the options of `swift eval`, apart from the checkpoint."""
        return {**self.settings, "tasks": list(self.tasks), "evaluator": self.evaluator, "limit": self.limit}
