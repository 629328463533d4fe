"""ModelScope: the errors of the real package in words. Nothing here speaks to the real hub."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path

import pytest
from swift_plugin_hubs.ms import ModelScopeHub
from swift_testing.codes import coded

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.reference import parse_reference
from swift_core.plugins import checkpoint_files


def fetch(text="ms:org/plain", **more):
    return ModelScopeHub().fetch(parse_reference(text), select=checkpoint_files, **more)


def test_without_the_package_the_pip_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(UsageError, match=r"pip install 'swift-plugin-hubs\[ms\]'"):
        fetch()


def test_offline(monkeypatch, tmp_path):
    pytest.importorskip("modelscope")
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    with pytest.raises(UsageError, check=coded("FILE-001"), match="'ms:org/plain'"):
        fetch()


@pytest.fixture
def heads(monkeypatch):
    """The addresses that are asked whether they are there."""
    requests = pytest.importorskip("requests")
    pytest.importorskip("modelscope")
    asked, head = [], requests.head
    monkeypatch.setattr(requests, "head", lambda url, **more: asked.append(url) or head(url, **more))
    return asked


@pytest.mark.parametrize(
    "act", [fetch, lambda: ModelScopeHub().push(Path(), parse_reference("ms:org/plain"), message="x", private=True)], ids=["fetch", "push"]
)
def test_no_network_is_said_after_one_try(monkeypatch, tmp_path, heads, act):
    """modelscope tries nine times, which takes 23 seconds."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-secret")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", url)
        with pytest.raises(SwiftError, match=rf"no connection: {url} can't be reached \(.*refused") as caught:
            act()
    assert "SWIFT_OFFLINE=1" in caught.value.hint
    assert heads == [url]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("NotExistError", UsageError, "no such repository"),
        ("AuthenticationError", UsageError, "access denied"),
        ("NetworkError", SwiftError, "no connection"),
        ("ServerError", SwiftError, "the hub failed"),
    ],
)
def test_errors_in_words(monkeypatch, name, kind, text):
    requests = pytest.importorskip("requests")
    pytest.importorskip("modelscope")
    from modelscope_hub import errors

    def fail(*args, **more):
        raise getattr(errors, name)("as it is")

    monkeypatch.setattr(requests, "head", lambda *_, **__: None)
    monkeypatch.setattr(importlib.import_module("modelscope_hub").HubApi, "resolve_endpoint_for_read", fail)
    with pytest.raises(kind, match=text) as caught:
        fetch()
    assert type(caught.value) is kind
