"""What every plugin owes: it is found, it works, and starting `swift` costs nothing because of it."""

from __future__ import annotations

import subprocess
import sys

from swift_core.plugins import plugins

HEAVY = ["torch", "transformers", "numpy", "pydantic", "datasets"]


def test_it_is_found_and_works():
    plugin = plugins().found["acme"]
    assert plugin.distribution == "swift-plugin-acme"
    assert not plugin.failure, plugin.trace


def test_importing_it_imports_nothing_heavy():
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY})); import swift_plugin_acme"
    subprocess.run([sys.executable, "-c", code], check=True)
