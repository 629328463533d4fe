"""Provenance of the scores, for `scores.json`: model, evaluator, backend, settings and versions."""

from __future__ import annotations

from typing import Any

from swift_core.contract import Choice, Run, Server
from swift_evaluate.roles import Scores

_ASKED = ("tasks", "limit", "few_shot", "samples", "seed", "max_tokens", "temperature", "allow_code")


def made_with(run: Run, subject: Any, found: Scores) -> dict[str, Any]:
    """Return the head of `scores.json`.

    Args:
        run: the run of eval.
        subject: the server that was evaluated, or the folder of the checkpoint.
        found: what the evaluator has returned, with the settings that it reports.
    """
    served = {"server": {"url": subject.url, "model": next(iter(subject.models), "")}} if isinstance(subject, Server) else {}
    model = {"reference": run.model.reference, "hash": run.model.hash, "family": run.model.family} if run.model else None
    return {
        "schema": 1,
        "model": model,
        "adapters": {name: {"reference": source.reference, "hash": source.hash} for name, source in run.adapters.items()},
        **served,
        **{part: _part(choice) for part, choice in run.parts.items()},
        "settings": {name: run.options[name] for name in _ASKED} | dict(found.settings),
        "versions": run.made_with(),
    }


def _part(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, "version": choice.version, "options": dict(choice.options)}
