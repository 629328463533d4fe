"""Tests that apply to every command: `swift --help` lists it without importing it, and it passes the conformance checks."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks


@parametrize_with_checks("swift-plugin-acme")
def test_conformance(check):
    """Run each check of `swift plugins check swift-plugin-acme` as a test."""
    check()


def test_it_is_listed_and_has_help(swift_project):
    assert "List the run folders and their disk usage" in swift_project.run("--help").out
    outcome = swift_project.run("acme", "--help")
    outcome.assert_success()
    assert "--runs" in outcome.out
