"""What is refused without llama.cpp; with it: `make test-full LANE=export`, after `swift env create gguf-k`."""

from __future__ import annotations

import pytest
from swift_plugin_llama_cpp.options import LlamaQuantizeOptions
from swift_plugin_llama_cpp.quantize import LlamaQuantize

from swift_core import api
from swift_core.errors import SwiftError, UsageError


def test_a_folder_without_the_one_file_is_refused(tmp_path):
    for number in range(2):
        with pytest.raises(UsageError, match="no GGUF file" if not number else "2 GGUF files") as refused:
            LlamaQuantize(LlamaQuantizeOptions()).export(tmp_path, tmp_path / "out")
        assert "--to gguf" in refused.value.hint
        (tmp_path / "a.gguf").touch()
        (tmp_path / "b.gguf").touch()


@pytest.mark.full("export")
def test_llama_cpp_quantizes_smollm2(smollm2, tmp_path, monkeypatch):
    """Fewer bits, smaller files; and what has few bits already is refused."""
    monkeypatch.chdir(tmp_path)
    whole = api.export(smollm2, "gguf", type="f16", output="f16")
    packed = api.export("f16", "gguf-k", type="q6_k", output="k")
    assert packed.output.name == "model-Q6_K.gguf"
    few = api.export("f16", "gguf-k", type="q4_k_m", output="k4")
    assert few.figures["bytes"] < packed.figures["bytes"] < whole.figures["bytes"] / 1.8
    assert packed.figures["kl"] < few.figures["kl"] < 0.2  # as llama.cpp itself computes them
    with pytest.raises(SwiftError, match=r"llama\.cpp does not quantize this file"):
        api.export("k", "gguf-k", type="q4_k_m", output="twice")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f16", "k", "k4", "runs"]
