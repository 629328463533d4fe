"""The conformance kit as tests: `swift plugins check swift-plugin-bundle`."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-bundle")
def test_conformance(check):
    check()
