"""Experiment trackers, which other tools switch on by a key for each, with keys for project, name, …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary

# tracker → its switches, and its options by the name of the key
_TRACKERS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "wandb": (("use_wandb", "wandb_project"), {"wandb_project": "project", "wandb_entity": "entity", "wandb_name": "run_name"}),
    "mlflow": (
        ("use_mlflow", "mlflow_experiment_name"),
        {"mlflow_experiment_name": "project", "mlflow_tracking_uri": "uri", "mlflow_run_name": "run_name"},
    ),
    "comet": (
        ("use_comet", "comet_project_name"),
        {"comet_project_name": "project", "comet_workspace": "workspace", "comet_experiment_name": "run_name"},
    ),
    "swanlab": (
        ("use_swanlab",),
        {
            "swanlab_project": "project", "swanlab_run_name": "run_name", "swanlab_experiment_name": "run_name",
            "swanlab_workspace": "workspace",
            "swanlab_mode": "mode",
        },
    ),
    "trackio": (("use_trackio", "trackio_project_name"), {"trackio_project_name": "project", "trackio_run_name": "run_name"}),
    "tensorboard": (("use_tensorboard",), {}),
}  # fmt: skip


def trackers(keys: Keys, found: Translation) -> list[dict[str, Any]]:
    """Return the callbacks of the trackers that are switched on; keys of the others are dropped."""
    chosen = []
    for name, (switches, options) in _TRACKERS.items():
        given = {key: keys.take(key) for key in dict.fromkeys((*switches, *options)) if key in keys}
        if not any(is_on(given.get(switch)) for switch in switches):
            for key, value in given.items():
                found.drop(key, value, "it is switched off")
        elif not Vocabulary(found).offers("callback", name):
            found.refuse(switches[0], given.get(switches[0]), f"install swift-plugin-{name} first")
        else:
            callback = {option: given[key] for key, option in options.items() if given.get(key) not in (None, "")}
            chosen.append({"name": name, **callback})
            for key, value in given.items():
                if not value:
                    found.drop(key, value, "it has no value")
    return chosen
