"""A folder in the format is recognised, its identity depends on its weights, and a damaged one is refused."""

from __future__ import annotations

import numpy as np
import pytest
from swift_plugin_acme.examples import write

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, tmp_path)
    return tmp_path


def test_it_is_recognised(folder):
    assert Checkpoint.at(folder).format == "acme"
    Checkpoint.at(folder).check()


def test_other_weights_are_another_model(folder):
    before = Checkpoint.at(folder).hash()
    np.savez(folder / "weights.npz", weight=np.zeros((2, 2)))
    assert Checkpoint.at(folder).hash() != before


def test_a_damaged_archive_is_refused(folder):
    (folder / "weights.npz").write_bytes(b"PK")
    with pytest.raises(UsageError) as caught:
        Checkpoint.at(folder).check()
    assert caught.value.where == str(folder / "weights.npz")
