"""An export whose source no loader reads is not compared; one whose own checkpoint is broken is reported."""

from __future__ import annotations

import pytest
from swift_train.export_comparison import compare

from swift_core.contract.errors import UsageError
from swift_core.contract.run import Source


def compared(tmp_path, form):
    (tmp_path / "model.gguf").write_bytes(b"GGUF, but no more of it")
    (tmp_path / "config.json").write_text("{}")
    source = Source(reference="file:m", path=str(tmp_path), hash="", format=form, family="")
    return compare(source, None, tokens=10, scratch=tmp_path)


def test_a_format_of_others_that_is_not_read_is_a_reason(tmp_path):
    with pytest.raises(NotImplementedError, match="the source"):
        compared(tmp_path, "gguf")


def test_a_checkpoint_that_is_not_read_is_an_error(tmp_path):
    with pytest.raises(UsageError):
        compared(tmp_path, "safetensors")
