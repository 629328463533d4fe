"""From answers to the YAML file and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from swift_plugin_wizard.goals import TIMES, Answers

_STEPS = {"minutes": 30, "hour": 400, "night": 3000}  # optimizer steps, if their time is not known


def options_of(answers: Answers, *, seconds: float = 0.0) -> dict[str, Any]:
    """Return the options of the run; `seconds` is the time of a step, if it is known."""
    goal, time = answers.goal, answers.time
    steps = max(5, int(TIMES[time] / seconds)) if seconds else _STEPS[time]
    options = {"run": goal.verb, "model": answers.model, "dataset": answers.data, "max_steps": min(steps, 10 * _STEPS[time])}
    return options | ({"num_labels": answers.labels} if answers.labels else {})


def yaml_of(options: Mapping[str, Any]) -> str:
    """Return the YAML file."""
    text: str = yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True)
    return text


def command_of(options: Mapping[str, Any]) -> str:
    """Return the one-line command."""
    words = ["swift", str(options["run"])]
    for name, value in options.items():
        if name != "run":
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
