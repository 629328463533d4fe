"""Log-likelihoods from completions that echo their prompt: exact, whether or not the generated token is there; anything else is refused."""

from __future__ import annotations

import pytest
from swift_plugin_lm_eval.log_likelihood import continuation_score, request

from swift_core.contract import SwiftError

VALUES = [None, -0.5, -0.25, -2.0]  # of a prompt of four tokens
TOPS = [None, {"a": -0.5}, {"b": -0.25}, {"c": -1.0, "d": -2.0}]


def response(values, tops):
    return {"choices": [{"logprobs": {"token_logprobs": values, "top_logprobs": tops}}]}


def test_the_request_echoes_the_prompt_and_generates_one_token():
    assert request([5, 6]) == {"prompt": [5, 6], "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}


@pytest.mark.parametrize("generated", [True, False])
def test_the_last_token_of_the_continuation_counts(generated):
    values, tops = ([*VALUES, -9.0], [*TOPS, {"e": -9.0}]) if generated else (VALUES, TOPS)
    assert continuation_score(response(values, tops), 2, 4) == (-2.25, False)
    assert continuation_score(response(values, tops), 1, 4) == (-2.75, False)
    assert continuation_score(response([None, -0.5, -0.25], TOPS[:3]), 1, 3) == (-0.75, True)


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"text": "x"}]},
        {"choices": [{"logprobs": None}]},
        response(VALUES[-1:], TOPS[-1:]),  # the generated token alone: the server ignores echo
        response([*VALUES, -1.0, -1.0], [*TOPS, {}, {}]),  # a token was added to the prompt
        response([None, -0.5, None, -2.0], TOPS),
    ],
)
def test_a_server_without_the_log_probabilities_of_the_prompt_is_refused(answer):
    with pytest.raises(SwiftError) as failed:
        continuation_score(answer, 1, 4)
    assert failed.value.code.startswith("EVAL-04")
