"""The scheduler by name, as a training runs it."""

from __future__ import annotations

from swift_rollouts.testing import check_scheduler


def test_it_ends_when_the_answer_stays():
    said = check_scheduler("acme", {"question": "Really?"})
    assert [message["role"] for message in said] == ["user", "assistant", "user", "assistant"]
    assert said[2]["content"] == "Really?"
