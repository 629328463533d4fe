"""`swift quantize --compare`: each method in turn, what can't run as a line with the reason, and a plot of size against loss."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from swift_convert import compare
from swift_report.charts import scatter

from swift_core.contract.errors import UsageError
from swift_core.plugins.registered import registry


def test_names_with_options_are_read():
    nf4, eight, again = compare.parse("nf4, bnb:bits=8:double-quantization=false,nf4,gptq", registry())
    assert (nf4.name, nf4.options, again.name) == ("nf4", {}, "gptq")
    assert (eight.name, eight.options) == ("bnb", {"bits": "8", "double_quantization": "false"})
    assert eight.folder == "bnb-bits-8-double-quantization-false"


@pytest.mark.parametrize(("text", "message"), [("", "no quantizer given"), ("bnb:8", "not a quantizer with options"), ("bnbb", "bnbb")])
def test_what_is_written_wrongly_is_refused(text, message):
    with pytest.raises(UsageError, match=message) as refused:
        compare.parse(text, registry())
    assert refused.value.where == "compare"
    assert refused.value.hint


def test_the_plot_places_size_against_loss():
    points = {"big & good": (200.0, 0.01), "small": (100.0, 0.5), "broken": (50.0, float("nan"))}
    svg = ElementTree.fromstring(scatter(points, title="Size", x_label="MB", y_label="KL").standalone())
    space = "{http://www.w3.org/2000/svg}"
    good, small = svg.findall(f"{space}circle")
    assert float(good.get("cx")) > float(small.get("cx"))
    assert float(good.get("cy")) > float(small.get("cy"))  # down is less
    assert {text.text for text in svg.findall(f"{space}text")} >= {"big & good", "small", "MB", "KL"}
    assert scatter({"broken": points["broken"]}, title="Size", x_label="MB", y_label="KL") is None


@pytest.mark.slow
def test_methods_are_compared_and_what_cant_run_is_named(cold, swift, tmp_path, tiny_model):
    """In processes of their own, whose CPU time is counted."""
    words = ("quantize", str(tiny_model), "--device", "cpu", "--verify.tokens", "64", "--json")
    done = json.loads(swift(*words, "--compare", "nf4,bnb:bits=8,gptq").out)
    folder = tmp_path / done["folder"]
    four, eight, absent = done["figures"]["methods"]
    assert absent["method"] == "gptq"
    assert absent["reason"]
    assert (four["bits"], eight["bits"]) == (4, 8)
    assert four["bytes"] < eight["bytes"] < four["bytes_before"]
    assert four["kl"] > eight["kl"] > 0
    assert four["cpu_seconds"] > 0
    assert json.loads((folder / "compare.json").read_text())["methods"] == done["figures"]["methods"]
    assert (folder / "compare/nf4/run.json").is_file()
    assert not (folder / "compare/nf4/output").exists()
    ElementTree.fromstring((folder / "compare.svg").read_text())
    page = (folder / "report.html").read_text()
    assert "<svg" in page
    assert "bnb:bits=8" in page


@pytest.mark.slow
def test_results_are_kept_where_asked_and_one_that_fails_loses_no_other(swift, tmp_path, tiny_model):
    words = ("quantize", str(tiny_model), "--device", "cpu", "--verify.tokens", "64")
    shown = swift(*words, "--compare", "bnb:bits=3,nf4", "--keep", "--json")
    done = json.loads(shown.out)
    bad, good = done["figures"]["methods"]
    assert "reason" in bad
    assert (Path(tmp_path) / good["output"] / "swift.json").is_file()


def test_what_contradicts_a_comparison_is_refused(swift, tiny_model):
    words = ("quantize", str(tiny_model), "--compare", "nf4")
    for more, where in ((("--output", "out"), "--output"), (("--quantizer", "bnb"), "--quantizer"), (("--no-verify",), "--verify")):
        refused = swift.here(*words, *more)
        assert refused.code == 2
        assert where in refused.err
    refused = swift.here("quantize", str(tiny_model), "--compare", "gptq,awq")  # neither has rows to calibrate with
    assert refused.code == 2
