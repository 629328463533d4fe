"""The conformance checks of every plugin and its parts: `swift plugins check swift-plugin-megatron` as tests."""

from __future__ import annotations

import pytest
from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-megatron")
def test_conformance(check):
    check()


@pytest.mark.full("megatron")
@pytest.mark.usefixtures("megatron")
@parametrize_with_checks("swift-plugin-megatron")
def test_conformance_with_megatron(check):
    """The same with megatron-core installed: the losses of one process, exact resume."""
    check()
