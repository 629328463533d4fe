"""The names are the core's own."""

from __future__ import annotations

import swift

import swift_core


def test_the_names_are_the_cores():
    assert swift.get_model is swift_core.get_model
    assert all(getattr(swift, name) is getattr(swift_core, name) for name in swift.__all__)
