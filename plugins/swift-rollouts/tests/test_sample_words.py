"""ms-swift's client of `swift sample` is a server by its URL."""

from __future__ import annotations

import pytest
from swift_rollouts.sample_words import rewrite
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError

URL = "http://127.0.0.1:9/v1"


def test_a_client_is_a_url_and_a_name():
    words = ["--sampler_type", "distill", "--sampler_engine", "client", "--model", "m", "--dataset", "a", "--engine_kwargs"]
    assert rewrite([*words, f'{{"base_url": "{URL}"}}']) == ("", ["--dataset", "a", "--url", URL, "--name", "m"])
    assert rewrite(["--model", "m", "--sampler_engine", "vllm"]) == ("", ["--model", "m", "--sampler_engine", "vllm"])


@pytest.mark.parametrize("given", ["{}", "[", "[]"])
def test_without_a_url(given):
    with pytest.raises(UsageError, check=coded("RL-045")):
        rewrite(["--sampler_engine", "client", "--engine_kwargs", given])
