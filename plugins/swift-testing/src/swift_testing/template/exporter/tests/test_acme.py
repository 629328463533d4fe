"""The exported arrays equal the tensors of the checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file
from swift_plugin_acme.exporter import Acme

from swift_core.contract import UsageError


def test_every_tensor_is_exported(tiny_model, tmp_path):
    written = Acme().export(tiny_model, tmp_path / "out")
    arrays = np.load(written)
    tensors = load_file(tiny_model / "model.safetensors")
    assert set(arrays) == set(tensors)
    assert all(np.array_equal(arrays[name], tensors[name]) for name in tensors)


def test_an_empty_folder_is_a_user_s_error(tmp_path):
    with pytest.raises(UsageError, match="no safetensors files"):
        Acme().export(tmp_path, tmp_path / "out")
