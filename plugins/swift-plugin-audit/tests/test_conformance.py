"""The conformance kit as tests: `swift plugins check swift-plugin-audit`."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-audit")
def test_conformance(check):
    check()
