"""A model whose answers end no sooner than they are ended."""

from __future__ import annotations

from pathlib import Path

import pytest

LONG = 20_000  # tokens: no machine writes them before a test has done what it does meanwhile


@pytest.fixture(scope="session")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with a context that takes an answer of LONG tokens."""
    from swift_testing.rig import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("long") / "model", max_position_embeddings=LONG + 1000)
