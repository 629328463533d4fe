"""What is refused without llama.cpp; with it: `make test-full LANE=export`, after `swift env create gguf-k`."""

from __future__ import annotations

import pytest
from swift_plugin_llama_cpp import REQUIRES_MATRIX, swift_check
from swift_plugin_llama_cpp.imatrix import with_matrix
from swift_plugin_llama_cpp.options import LlamaQuantizeOptions
from swift_plugin_llama_cpp.quantize import FILE_TYPES, LlamaQuantize
from swift_testing.codes import coded

import swift_core as api
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run
from swift_core.plugins.registered import registry


def test_a_folder_without_the_one_file_is_refused(tmp_path):
    for number in range(2):
        with pytest.raises(UsageError, match="no GGUF file" if not number else "2 GGUF files") as refused:
            LlamaQuantize(LlamaQuantizeOptions()).export(tmp_path, tmp_path / "out")
        assert "--to gguf" in refused.value.hint
        (tmp_path / "a.gguf").touch()
        (tmp_path / "b.gguf").touch()


def problems(**options):
    return list(swift_check(Run(verb="export", job="", parts={"exporter": registry().choose("exporter", "gguf-k", options)})))


def test_every_type_has_its_number_and_its_limit():
    for name in LlamaQuantizeOptions.model_fields["type"].annotation.__args__:
        assert name in FILE_TYPES
        assert LlamaQuantize(LlamaQuantizeOptions(type=name)).max_kl > 0


def test_a_type_that_wants_a_matrix_is_refused_without_one(tmp_path):
    for name in REQUIRES_MATRIX:
        (problem,) = problems(type=name)
        assert problem.fatal
        assert "--to imatrix" in problem.hint
    (problem,) = problems(type="q2_k", imatrix=str(tmp_path))
    assert (problem.where, problem.fatal) == ("imatrix", True)
    assert str(tmp_path / "imatrix.gguf") in problem.message
    (tmp_path / "imatrix.gguf").touch()
    assert not problems(type="iq2_xxs", imatrix=str(tmp_path))
    assert not problems(type="q2_k")


def test_parameters_that_are_laid_out_otherwise_take_no_matrix():
    """No pointer is written into what is not the structure of llama.h."""

    class Otherwise:
        __slots__ = ("allow_requantize", "dry_run", "ftype", "keep_split", "nthread", "only_copy", "output_tensor_type", "pure")
        __slots__ += ("quantize_output_tensor", "token_embedding_type")

    params = Otherwise()
    for name in Otherwise.__slots__:
        setattr(params, name, 0)
    with pytest.raises(SwiftError, check=coded("SERVE-024")) as refused, with_matrix(params, {}):
        pass
    assert "llama-quantize --imatrix" in refused.value.hint


@pytest.mark.full("export")
def test_with_a_matrix_less_is_lost(smollm2, tmp_path, monkeypatch):
    """The same bits, nearer to the source; and types that there are with a matrix alone."""
    monkeypatch.chdir(tmp_path)
    api.export(smollm2, "gguf", type="f16", output="f16", verify=False)
    api.export(smollm2, "imatrix", dataset=["alpaca-en-demo"], calibration={"tokens": 4096}, output="matrix")
    given = {"imatrix": "matrix", "verify": {"tokens": 512}}
    without = api.export("f16", "gguf-k", type="q2_k", output="without", verify={"tokens": 512})
    done = api.export("f16", "gguf-k", type="q2_k", output="with", **given)
    assert done.figures["bytes"] == pytest.approx(without.figures["bytes"], rel=1e-3)
    assert done.figures["kl"] < 0.9 * without.figures["kl"]
    assert api.export("f16", "gguf-k", type="iq3_xxs", output="iq", **given).figures["kl"] < without.figures["kl"]
    write_other_matrix(tmp_path / "matrix" / "imatrix.gguf", tmp_path / "other.gguf")
    with pytest.raises(UsageError, match="another model"):
        api.export("f16", "gguf-k", type="q2_k", output="wrong", imatrix="other.gguf")
    with pytest.raises(UsageError, match="not an importance matrix"):
        api.export("f16", "gguf-k", type="q2_k", output="wrong", imatrix="f16/model-F16.gguf")
    assert not (tmp_path / "wrong").exists()


def write_other_matrix(file, out):
    """The same matrix under names that no weight has; a GGUF file's names may be changed in place where they are as long."""
    out.write_bytes(file.read_bytes().replace(b"blk.", b"bla."))


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
    with pytest.raises(SwiftError, match=r"llama\.cpp refused to quantize"):
        api.export("k", "gguf-k", type="q4_k_m", output="twice")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f16", "k", "k4", "runs"]
