"""Error codes: carried from where an error is raised to whoever reads it, one for each error, none used twice."""

from __future__ import annotations

import copy
import json
import pickle
import re
import sys
from pathlib import Path

import pytest

from swift_core.contract import Problems, SwiftError, UsageError
from swift_core.runs.events import Report
from swift_core.runs.execution import error_of

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import error_codes
import error_sites
from error_causes import CAUSES


def test_a_code_is_shown_after_the_message_and_before_the_hint():
    error = UsageError("no such row", code="DATA-012", where="rows.jsonl, row 3", hint="Count again.")
    assert str(error) == "rows.jsonl, row 3: no such row [SWIFT-DATA-012]\n  Count again."
    assert str(UsageError("no such row")) == "no such row"


@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_keeps_the_code(copied):
    error = copied(UsageError("no such row", code="DATA-012", where="row 3", hint="Count again."))
    assert (type(error), error.code, error.where, error.hint) == (UsageError, "DATA-012", "row 3", "Count again.")


def test_several_errors_are_shown_with_their_codes():
    with pytest.raises(Problems) as several:
        Problems.raise_any([UsageError("no model", code="CKPT-001"), SwiftError("no disk", code="FILE-002")])
    assert str(several.value).splitlines() == ["no model [SWIFT-CKPT-001]", "no disk [SWIFT-FILE-002]"]


def test_an_error_of_a_worker_keeps_its_code(tmp_path):
    Report(tmp_path).error(UsageError("no such row", code="DATA-012", where="row 3", hint="Count again."))
    event = json.loads((tmp_path / "events.jsonl").read_text())
    assert event["code"] == "DATA-012"
    assert str(error_of(event)) == "row 3: no such row [SWIFT-DATA-012]\n  Count again."


@pytest.fixture(scope="module")
def codes() -> dict[str, list[error_sites.Site]]:
    """All codes, with the calls that name them; the sources are parsed once."""
    return error_codes.registered()


def test_every_error_of_the_sources_has_a_code(codes):
    assert not error_codes.missing(), "python docs/assign_codes.py gives them codes"


def test_a_code_means_one_error(codes):
    for code, found in codes.items():
        messages = {site.messages for site in found if error_sites.says_something(site.messages)}
        assert len(messages) <= 1, f"{code} has several messages: {', '.join(site.file for site in found)}"
        assert code.partition("-")[0] in error_codes.AREAS


def test_every_code_has_a_cause_in_words(codes):
    assert set(CAUSES) <= set(codes)
    spoken = {code for code, found in codes.items() if any(error_sites.says_something(site.messages) for site in found)}
    assert not set(codes) - spoken - set(CAUSES), "their messages come from elsewhere: docs/error_causes.py says the causes"


def test_no_retired_code_is_used_again(codes):
    page = error_codes.PAGE.read_text(encoding="utf-8")
    gone = set(re.findall(r"`SWIFT-([A-Z]+-\d{3})`", page.partition("\n## Retired\n")[2]))
    assert not gone & set(codes)
    listed = re.findall(r"^\| `SWIFT-([A-Z]+-\d{3})` \|", page, flags=re.MULTILINE)
    assert set(listed) == set(codes) | gone
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("words", [["merge", "./none"], ["merge", "./none", "--no-such-option", "1"]])
def test_a_command_that_fails_with_json_prints_the_error_as_json(swift, words):
    outcome = swift.here(*words, "--json")
    reported = json.loads(outcome.out)
    assert outcome.code == reported["exit_code"] == 2
    assert f"{reported['message']} [SWIFT-{reported['code']}]" in outcome.err
    assert not swift.here(*words).out
