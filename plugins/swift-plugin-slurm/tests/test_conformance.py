"""What every plugin and every part of one has promised: `swift plugins check swift-plugin-slurm` as tests."""

from __future__ import annotations

import pytest
from swift_testing.kit import parametrize_with_checks

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("slurm")
@parametrize_with_checks("swift-plugin-slurm")
def test_conformance(check):
    check()
