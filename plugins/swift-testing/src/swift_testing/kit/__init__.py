"""The conformance kit: small named checks of the contract of every plugin and every part that it offers.

`swift plugins check DISTRIBUTION` runs them and prints a table; in a plugin's own tests each check is a test:

    from swift_testing.kit import parametrize_with_checks

    @parametrize_with_checks("swift-plugin-moon")
    def test_conformance(check):
        check()

Capability flags are tested both ways: a backend with `adapters=True` must serve an adapter, one with `adapters=False` must refuse it.
"""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
