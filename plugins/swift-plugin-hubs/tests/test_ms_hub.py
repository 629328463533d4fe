"""ModelScope: the errors of the real package in words. Nothing here speaks to the real hub."""

from __future__ import annotations

import importlib
import sys

import pytest
from swift_plugin_hubs.ms import ModelScopeHub

from swift_core.errors import SwiftError, UsageError
from swift_core.references import parse


def fetch(text="ms:org/plain", **more):
    return ModelScopeHub().fetch(parse(text), **more)


def test_without_the_package_the_pip_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(UsageError, match=r"pip install 'swift-plugin-hubs\[ms\]'"):
        fetch()


def test_offline(monkeypatch, tmp_path):
    pytest.importorskip("modelscope")
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    with pytest.raises(UsageError, match="offline, and 'ms:org/plain' is not in the cache"):
        fetch()


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("NotExistError", UsageError, "no such repository"),
        ("AuthenticationError", UsageError, "refused"),
        ("NetworkError", SwiftError, "no connection"),
        ("ServerError", SwiftError, "the hub failed"),
    ],
)
def test_errors_in_words(monkeypatch, name, kind, text):
    pytest.importorskip("modelscope")
    from modelscope_hub import errors

    def fail(*args, **more):
        raise getattr(errors, name)("as it is")

    monkeypatch.setattr(importlib.import_module("modelscope.hub.snapshot_download"), "snapshot_download", fail)
    with pytest.raises(kind, match=text) as caught:
        fetch()
    assert type(caught.value) is kind
