"""Tests that apply to every plugin: it is found, its import is light, and it passes the conformance checks."""

from __future__ import annotations

import subprocess
import sys

from swift_testing.kit import parametrize_with_checks

from swift_core.plugins import plugins

HEAVY = ["torch", "transformers", "numpy", "pydantic", "datasets"]


def test_it_is_found_and_works():
    plugin = plugins().found["acme"]
    assert plugin.distribution == "swift-plugin-acme"
    assert not plugin.failure, plugin.trace


def test_importing_it_imports_nothing_heavy():
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); import swift_plugin_acme"
    subprocess.run([sys.executable, "-c", code], check=True)


@parametrize_with_checks("swift-plugin-acme")
def test_conformance(check):
    """Run each check of `swift plugins check swift-plugin-acme` as a test."""
    check()
