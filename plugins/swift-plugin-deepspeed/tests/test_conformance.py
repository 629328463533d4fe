"""The conformance checks of every plugin and its parts: `swift plugins check swift-plugin-deepspeed` as tests."""

from __future__ import annotations

import pytest
from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-deepspeed")
def test_conformance(check):
    check()


@pytest.mark.full("deepspeed")
@pytest.mark.usefixtures("deepspeed")
@parametrize_with_checks("swift-plugin-deepspeed")
def test_conformance_with_deepspeed(check):
    """The same with DeepSpeed installed: the losses of one process, exact resume."""
    check()
