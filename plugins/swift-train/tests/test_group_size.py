"""Groups that don't divide the rows of the weights are refused before anything starts, with those that do."""

from __future__ import annotations

import pytest
from swift_train.group_size import dividing_sizes, input_sizes, problems

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry


def run_with(folder, name, **options):
    source = Source(reference="file:tiny", path=str(folder), hash="", format="safetensors", family="llama")
    return Run(verb="quantize", job="", model=source, parts={"quantizer": registry().choose("quantizer", name, options)})


def test_the_rows_of_linear_layers_are_measured(tiny_model):
    widths = input_sizes(tiny_model, ["o_proj"])
    assert widths["model.layers.0.mlp.down_proj"] == 128
    assert set(widths.values()) == {64, 128}
    assert not any(name.endswith(("o_proj", "embed_tokens", "norm")) for name in widths)
    assert dividing_sizes(widths.values()) == [32, 64]


@pytest.mark.parametrize("name", ["gptq", "awq", "rtn", "gptq-native", "awq-native"])
def test_groups_that_dont_divide_are_refused(name, tiny_model):
    (problem,) = problems(run_with(tiny_model, name))
    assert problem.where == "group_size"
    assert {"128", "64"} <= set(problem.message.split())
    assert "model.layers.0" in problem.message
    assert problem.hint.endswith(": 32, 64.")


@pytest.mark.parametrize(("name", "options"), [("gptq", {"group_size": 64}), ("awq", {"group_size": -1}), ("fp8", {}), ("w8a8", {})])
def test_what_divides_is_taken(name, options, tiny_model):
    assert list(problems(run_with(tiny_model, name, **options))) == []
