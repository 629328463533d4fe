"""An embedded server in this process, which takes adapters from any folder of the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def reloaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tiny model behind another URL, for trainings of all weights, which give it theirs."""
    from tests.in_process_server import Served

    made = Served(tiny_model, tmp_path_factory.getbasetemp())
    yield made
    made.close()


@pytest.fixture(scope="session")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tiny model behind a URL."""
    from tests.in_process_server import Served

    made = Served(tiny_model, tmp_path_factory.getbasetemp())
    yield made
    made.close()
