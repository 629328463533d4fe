"""Inspect's samples as items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from swift_evaluate import prompt_hash
from swift_evaluate.roles import Item


def item(task: str, sample: Mapping[str, Any], to_float: Callable[[Any], float]) -> Item:
    """Return the item of a sample.

    Args:
        task: the task as the user has named it.
        sample: a sample of Inspect's log, as JSON.
        to_float: value of a score → number, as Inspect's metrics convert it.
    """
    scored = {name: each["value"] for name, each in (sample.get("scores") or {}).items()}
    output = sample.get("output") or {}
    reason = next((str(each.get("stop_reason")) for each in output.get("choices") or ()), "")
    failed = bool(sample.get("error")) or not scored
    status: Literal["ok", "failed", "truncated"] = "failed" if failed else "truncated" if reason == "max_tokens" else "ok"
    sent = [{"role": each["role"], "content": each["content"]} for each in sample.get("messages") or () if each["role"] != "assistant"]
    target = sample.get("target")
    return Item(
        task=task,
        id=str(sample["id"]),
        sample=int(sample.get("epoch", 1)) - 1,
        cluster=str((sample.get("metadata") or {}).get("cluster") or ""),
        prompt=prompt_hash(sent),
        question=_question(sample),
        output=str((sample["error"] or {}).get("message", "")) if sample.get("error") else str(output.get("completion") or ""),
        expected=", ".join(target) if isinstance(target, list) else str(target or ""),
        status=status,
        scores={} if failed else _numbers(scored, to_float),
    )


def _question(sample: Mapping[str, Any]) -> str:
    """Return the question: that of the prepared row, else the last message of the input."""
    if (own := (sample.get("metadata") or {}).get("question")) is not None:
        return str(own)
    asked = sample.get("input") or ""
    last = asked if isinstance(asked, str) else asked[-1]["content"]
    return last if isinstance(last, str) else " ".join(str(part["text"]) for part in last if "text" in part)


def _numbers(scored: Mapping[str, Any], to_float: Callable[[Any], float]) -> dict[str, float]:
    """Return the score of each scorer; a scorer with several values gives one score for each."""
    found: dict[str, float] = {}
    for name, value in scored.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": float(to_float(each)) for key, each in value.items()}
        else:
            found[name] = float(to_float(value))
    return found


def scores(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the means in Inspect's results, by scorer: its metric `accuracy` or `mean`."""
    found = {}
    for each in results.get("scores") or ():
        for name in ("accuracy", "mean"):
            if name in each["metrics"]:
                found[str(each["name"])] = float(each["metrics"][name]["value"])
                break
    return found
