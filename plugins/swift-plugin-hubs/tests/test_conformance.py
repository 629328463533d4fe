"""What every plugin and every part of one has promised: `swift plugins check swift-plugin-hubs` as tests."""

from __future__ import annotations

import pytest
from swift_testing.kit import parametrize_with_checks

pytestmark = pytest.mark.slow


@parametrize_with_checks("swift-plugin-hubs")
def test_conformance(check):
    check()
