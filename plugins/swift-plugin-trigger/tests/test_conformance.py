"""The conformance checks of every plugin and its parts: `swift plugins check swift-plugin-trigger` as tests."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-trigger")
def test_conformance(check):
    check()
