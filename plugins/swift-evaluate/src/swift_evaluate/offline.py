"""The environment of an evaluator's library: offline if all data are local."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from swift_evaluate.roles import Evaluation

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


@contextmanager
def offline_if_local(tasks: Sequence[str], asked: Evaluation) -> Iterator[None]:
    """Set environment variables for an evaluator's library; enter it before the library is imported.

    If all tasks have local data, hub clients don't connect. The `datasets` library keeps what it makes of local data in a temporary
    folder, so that changed files are read anew.
    """
    with tempfile.TemporaryDirectory(prefix="swift-eval-") as cache:
        if all(task in asked.data for task in tasks):
            os.environ.update(dict.fromkeys(_OFFLINE, "1"))
            os.environ["HF_DATASETS_CACHE"] = cache
        yield
