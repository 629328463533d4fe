"""Verbs that do it badly."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"verb-gives": Example(options={"offline": True})}


def nothing(run, report):
    return None, {}
