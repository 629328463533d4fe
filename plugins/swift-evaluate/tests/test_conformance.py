"""The conformance kit as tests: `swift plugins check swift-evaluate`."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-evaluate")
def test_conformance(check):
    check()
