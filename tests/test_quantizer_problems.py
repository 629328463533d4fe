"""A quantizer that writes checkpoints is refused by verbs that load, for that reason, whether its engine is there or not."""

from __future__ import annotations

import pytest
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.options.keywords import settings_of
from swift_core.plugins.registered import registry
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.resolution import resolve


def test_the_true_reason_comes_before_an_absent_engine(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path))
    verb, options = verb_named("sft"), {"model": str(tiny_model), "dataset": ["alpaca-en-demo"], "quantizer": "gptq"}
    with pytest.raises(UsageError, check=coded("CONVERT-021")) as refused:
        resolve(verb, settings_of(verb, options, registry()))
    assert "swift quantize" in refused.value.hint


def test_quantizing_itself_wants_the_engine(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path))
    verb, options = verb_named("quantize"), {"model": str(tiny_model), "dataset": ["alpaca-en-demo"], "quantizer": "gptq"}
    with pytest.raises(UsageError, check=coded("ENV-028"), match="engine of the quantizer 'gptq' is not installed"):
        resolve(verb, settings_of(verb, options, registry()))
