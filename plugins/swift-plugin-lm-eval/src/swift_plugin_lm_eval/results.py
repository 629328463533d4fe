"""lm-eval's results as items and scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from swift_evaluate import prompt_hash
from swift_evaluate.prepare import question_text
from swift_evaluate.roles import Item

Status = Literal["ok", "failed", "truncated"]
StatusOf = Callable[[str, Mapping[str, Any]], Status]


def metric_name(metric: str, filter_name: str) -> str:
    """Return lm-eval's name of a metric under a filter; without the filter if it is the default one."""
    return metric if filter_name == "none" else f"{metric},{filter_name}"


def means(config: Mapping[str, Any]) -> set[str]:
    """Return the metrics of a task that are means over its items."""
    return {str(each["metric"]) for each in config.get("metric_list") or () if each.get("aggregation", "mean") == "mean"}


def items(
    task: str,
    leaf: str,
    samples: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    *,
    sample: int,
    status: StatusOf,
    text: Callable[[Mapping[str, Any]], Any],
    clustered: bool,
) -> Iterator[Item]:
    """Yield an item per document of one of lm-eval's tasks.

    Args:
        task: the task as the user has named it.
        leaf: lm-eval's name of the task.
        samples: lm-eval's samples of the task, one per document and filter.
        config: lm-eval's configuration of the task.
        sample: which of several answers they are.
        status: conversation and settings → status of its answer.
        text: document → its prompt without examples, as lm-eval's template gives it.
        clustered: whether the task is one of several subjects; its items then belong together.
    """
    kept, by_document = means(config), dict[int, list[Mapping[str, Any]]]()
    for each in samples:
        by_document.setdefault(int(each["doc_id"]), []).append(each)
    seen: dict[str, int] = {}
    for found in by_document.values():
        first = found[0]
        name = str(first["doc"].get("id") or first["doc_hash"][:16])
        seen[name] = seen.get(name, 0) + 1
        scores = {
            metric_name(metric, each["filter"]): float(each[metric])
            for each in found
            for metric in each["metrics"]
            if metric in kept and isinstance(each[metric], int | float)
        }
        choices = config.get("output_type") == "multiple_choice"
        state: Status = "ok" if choices else status(*_generation(first))
        yield Item(
            task=task,
            id=name if seen[name] == 1 else f"{name}-{seen[name]}",
            sample=sample,
            cluster=leaf if clustered else "",
            prompt=prompt_hash(first["arguments"][0][0] if choices else _generation(first)[0]),
            question=question_text(first["doc"]) or _text(text(first["doc"])),
            output=json.dumps([value[0][0] for value in first["resps"]]) if choices else str(first["resps"][0][0]),
            expected=_expected(first, choices=choices),
            status=state,
            scores=scores if state != "failed" else {},
        )


def scores(results: Mapping[str, Any], leaves: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the metrics of a user's task: those of its only task in lm-eval, or means over several, weighted by their items."""
    totals: dict[str, tuple[float, int]] = {}
    for leaf in leaves:
        count = int(results["n-samples"][leaf]["effective"])
        for key, value in results["results"][leaf].items():
            metric, _, filter_name = key.partition(",")
            if not filter_name or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            if len(leaves) > 1 and metric not in means(configs[leaf]):
                continue
            total, number = totals.get(metric_name(metric, filter_name), (0.0, 0))
            totals[metric_name(metric, filter_name)] = (total + float(value) * count, number + count)
    return {name: total / number for name, (total, number) in totals.items()}


def settings(results: Mapping[str, Any], leaf: str) -> dict[str, Any]:
    """Return what decides the scores of one of lm-eval's tasks: version, examples, template, filters."""
    config = results["configs"][leaf]
    return {
        "version": results["versions"].get(leaf),
        "few_shot": results["n-shot"].get(leaf),
        "output_type": config.get("output_type"),
        "template": config.get("doc_to_text"),
        "filters": [each["name"] for each in config.get("filter_list") or ()],
        "generation": config.get("generation_kwargs") if config.get("output_type") == "generate_until" else None,
    }


def _generation(sample: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    context, arguments = sample["arguments"][0]
    return (str(context[0]) if isinstance(context, list | tuple) else str(context)), arguments


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""  # a task with several contexts gives the index of one


def _expected(sample: Mapping[str, Any], *, choices: bool) -> str:
    target = sample["target"]
    if choices and isinstance(target, int) and target < len(sample["arguments"]):
        return str(sample["arguments"][target][1]).strip()
    return str(target)
