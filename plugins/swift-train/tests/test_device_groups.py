"""ms-swift's device_groups of a file: the number of processes on Ray."""

from __future__ import annotations

from swift_train.launch_variables import apply
from swift_train.plugin import TRAIN

from swift_core.contract import Settings


def settings():
    return Settings({"model": "m", "device_groups": {"nproc_per_node": 4, "default": {"device": "GPU", "workers": ["default"]}}})


def test_they_are_the_processes():
    found = settings()
    notes = list(apply(TRAIN, found, {}))
    assert found.given("processes") == 4
    assert "device_groups" not in found.values
    assert any("4" in note for note in notes)


def test_the_environment_wins():
    found = settings()
    list(apply(TRAIN, found, {"NPROC_PER_NODE": "2"}))
    assert found.given("processes") == 2
