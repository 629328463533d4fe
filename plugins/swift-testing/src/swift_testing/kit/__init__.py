"""The conformance kit: small named checks of the contract of every plugin and every part that it offers.

`swift plugins check DISTRIBUTION` runs them and prints a table; in a plugin's own tests each check is a test:

    from swift_testing.kit import parametrize_with_checks

    @parametrize_with_checks("swift-plugin-moon")
    def test_conformance(check):
        check()

Capability flags are tested both ways: a backend with `adapters=True` must serve an adapter, one with `adapters=False` must refuse it.
"""

from __future__ import annotations

from swift_testing.kit.model import CheckFailed, Example, Skip
from swift_testing.kit.pytest_cases import parametrize_with_checks
from swift_testing.kit.subject import Subject

__all__ = ["CheckFailed", "Example", "Skip", "Subject", "parametrize_with_checks"]
