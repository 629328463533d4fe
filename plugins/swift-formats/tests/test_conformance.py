"""What every plugin and every part of one must do: `swift plugins check swift-formats` as tests."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-formats")
def test_conformance(check):
    check()
