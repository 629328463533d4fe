"""What every command owes: `swift --help` lists it from the metadata of its distribution, without importing it."""

from __future__ import annotations


def test_it_is_listed_and_has_help(swift_project):
    assert "From swift-plugin-acme" in swift_project.run("--help").out
    outcome = swift_project.run("acme", "--help")
    outcome.assert_success()
    assert "--runs" in outcome.out
