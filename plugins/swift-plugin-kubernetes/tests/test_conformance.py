"""What every plugin and every part of one has promised: `swift plugins check swift-plugin-kubernetes` as tests."""

from __future__ import annotations

import pytest
from swift_testing.kit import parametrize_with_checks

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("cluster")
@parametrize_with_checks("swift-plugin-kubernetes")
def test_conformance(check):
    check()
