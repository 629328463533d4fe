"""The conformance checks of every plugin and its parts: `swift plugins check swift-rollouts` as tests."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-rollouts")
def test_conformance(check):
    check()
