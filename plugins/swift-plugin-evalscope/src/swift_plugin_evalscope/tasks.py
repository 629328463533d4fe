"""EvalScope's configuration for what an evaluation asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_evaluate.prepare import PreparedBenchmark
from swift_evaluate.roles import Evaluation

from swift_core.contract import Server

RUNS_CODE = frozenset({"humaneval", "humanevalplus", "mbpp", "mbppplus", "live_code_bench", "multiple_humaneval", "multiple_mbpp"})
_NAMES = {"cmnli": "general_mcq"}  # benchmark: EvalScope's name, if it is another one
LOCAL = frozenset({"arc", "ceval", "cmmlu", "cmnli", "gsm8k", "hellaswag", "ifeval", "mmlu"})
RETRIES = 3
_RETRY_SECONDS = 2


def benchmark(task: str) -> str:
    """Return EvalScope's name of a task."""
    return _NAMES.get(task, task)


def dataset_args(found: PreparedBenchmark, asked: Evaluation, mark: str) -> dict[str, Any]:
    """Return EvalScope's settings of a benchmark whose data are local.

    Args:
        found: the prepared benchmark.
        asked: what the evaluator was asked to do.
        mark: the mark that ends the thinking before an answer; '' if there is none.
    """
    settings: dict[str, Any] = {"dataset_id": str(found.folder.resolve()), "subset_list": list(found.subsets)}
    if found.name == "cmnli":
        settings = {"dataset_id": str((found.folder / "default").resolve()), "subset_list": [found.split]}
    return {**settings, **shared_args(asked, mark, examples=found.has_few_shot)}


def shared_args(asked: Evaluation, mark: str, *, examples: bool = True) -> dict[str, Any]:
    """Return the settings that every benchmark gets; `examples`: whether there are examples for few-shot prompts."""
    shots = asked.few_shot if asked.few_shot is not None else None if examples else 0
    return {**({} if shots is None else {"few_shot_num": shots}), **({"filters": {"remove_until": mark}} if mark else {})}


def task_config(
    server: Server, asked: Evaluation, datasets: Mapping[str, Mapping[str, Any]], generation: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of EvalScope's TaskConfig.

    Args:
        server: the server, whose first model is evaluated.
        asked: what the evaluator was asked to do.
        datasets: EvalScope's name of each benchmark → its settings.
        generation: further fields of requests.
    """
    fields: dict[str, Any] = {"retries": RETRIES, "retry_interval": _RETRY_SECONDS, **generation}
    fields["temperature"] = asked.temperature if asked.temperature is not None else fields.get("temperature", 0.0)
    fields["seed"] = asked.seed
    if asked.max_tokens is not None:
        fields["max_tokens"] = asked.max_tokens
    return {
        "model": server.models[0],
        "model_id": "model",
        "eval_type": "openai_api",
        "api_url": server.url,
        "api_key": server.api_key or "EMPTY",
        "datasets": list(datasets),
        "dataset_args": {name: dict(settings) for name, settings in datasets.items()},
        "generation_config": fields,
        "eval_batch_size": asked.concurrency,
        "limit": asked.limit or None,
        "repeats": asked.samples,
        "seed": asked.seed,
        "work_dir": str(asked.folder),
        "no_timestamp": True,
        "ignore_errors": True,
        **({"use_cache": str(asked.folder), "rerun_review": True} if asked.interrupted else {}),  # its predictions are reused
    }
