"""The interpreter that has vLLM, for the tests of the lane `vllm`."""

from __future__ import annotations

import os

import pytest

from swift_core.environments import lookup
from swift_core.environments.requirements import isolated_entry
from swift_core.plugins.registered import registry


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """Return the interpreter named by SWIFT_TEST_VLLM, or that of the environment created by `swift env create vllm`."""
    return os.environ.get("SWIFT_TEST_VLLM") or lookup.python_for(isolated_entry(registry(), "vllm"), {})
