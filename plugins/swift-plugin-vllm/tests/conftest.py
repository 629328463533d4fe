"""Where vLLM itself is, for the tests of the lane `vllm`."""

from __future__ import annotations

import os

import pytest

from swift_core.environments import find
from swift_core.environments.wanted import isolated_entry
from swift_core.registry import registry


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """The interpreter that SWIFT_TEST_VLLM names, or that of the environment that `swift env create vllm` made."""
    return os.environ.get("SWIFT_TEST_VLLM") or find.python_for(isolated_entry(registry(), "vllm"), {})
