"""The interpreter that has vLLM, for the tests of the lane `vllm`."""

from __future__ import annotations

import os

import pytest
from swift_environments.isolated import isolated_entry

from swift_core.environments import python_for
from swift_core.plugins.registered import registry


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """Return the interpreter named by SWIFT_TEST_VLLM, or that of the environment created by `swift env create vllm`."""
    return os.environ.get("SWIFT_TEST_VLLM") or python_for(isolated_entry(registry(), "vllm"), {})
