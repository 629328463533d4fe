"""The rows are valid conversations, and the command line can use them."""

from __future__ import annotations

from swift_data.rows import normalise
from swift_plugin_acme.options import AcmeOptions
from swift_plugin_acme.rows import Acme


def test_every_row_is_a_conversation():
    rows = [normalise(row, ("chat",)) for row in Acme(AcmeOptions()).rows()]
    assert len(rows) == 8


def test_an_option_selects_rows():
    numbers = list(Acme(AcmeOptions(about="numbers")).rows())
    assert [row.number for row in numbers] == [5, 6, 7, 8]


def test_swift_checks_it(swift_project):
    outcome = swift_project.run("data", "check", "acme", "--about", "things", "--json")
    outcome.assert_success()
