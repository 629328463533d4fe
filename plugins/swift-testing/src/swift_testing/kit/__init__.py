"""The conformance kit: small named checks of what every plugin and every part of one has promised.

`swift plugins check DISTRIBUTION` prints a table of them; in a plugin's own tests each is a test:

    from swift_testing.kit import parametrize_with_checks

    @parametrize_with_checks("swift-plugin-moon")
    def test_conformance(check):
        check()

What a claim says is tested both ways: a backend that says `adapters=True` must serve one, one that does not must refuse it.
"""

from __future__ import annotations

from swift_testing.kit.model import CheckFailed, Example, Skip
from swift_testing.kit.pytest_cases import parametrize_with_checks
from swift_testing.kit.subject import Subject

__all__ = ["CheckFailed", "Example", "Skip", "Subject", "parametrize_with_checks"]
