"""What every plugin and every part of one has promised: `swift plugins check swift-plugin-deepspeed` as tests."""

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
    """The same where DeepSpeed is there: losses as one process has them, exact resume."""
    check()
