"""The modules of the tests can be imported by each other; an embedded server in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tiny model behind a URL; it takes adapters and weights from any folder of the tests."""
    from tests.in_process_server import Served

    made = Served(tiny_model, tmp_path_factory.getbasetemp())
    yield made
    made.close()
