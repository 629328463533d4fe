"""The record of architectures: it covers the classes of transformers, its page is current, and what it says passes again (the lane)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))

import architectures  # noqa: E402

RECORD = architectures.read(architectures.RECORD)
PASSED = [(row["kind"], row["model_type"]) for row in RECORD if row["stage"] == "passed"]


def test_the_page_is_current():
    assert architectures.PAGE.read_text(encoding="utf-8") == architectures.page()


def test_what_did_not_pass_has_a_reason():
    assert all(bool(row["error"]) == (row["stage"] != "passed") for row in RECORD)
    assert len(PASSED) > 450


@pytest.mark.slow
def test_every_class_of_transformers_is_in_the_record():
    from swift_testing.architectures import KINDS, types_of

    recorded = {(row["kind"], row["model_type"]): row["class"] for row in RECORD}
    known = {(kind, model_type): name for kind in KINDS for model_type, name in types_of(kind).items()}
    assert set(known) - set(recorded) == set()


@pytest.mark.full("architectures")
@pytest.mark.parametrize(("kind", "model_type"), PASSED)
def test_it_passes_again(kind, model_type):
    from swift_testing.architecture_chain import go_through

    outcome = go_through(kind, model_type)
    assert (outcome.stage, outcome.error) == ("passed", "")
