"""A run that is against a policy is refused before it starts, with the rule's file and line."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.here import swift_here


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_model):
    """A model with a card, rows without one; `policy` writes the policy."""
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Say a.", "response": "a"}) + "\n")
    monkeypatch.setenv("SWIFT_POLICY", str(tmp_path / "policy.yaml"))
    return tmp_path


def policy(folder, text: str) -> None:
    (folder / "policy.yaml").write_text(text)


TRAIN = ("sft", "--model", "model", "--dataset", "rows.jsonl", "--dry-run")
CASES = {
    "licence of a model": ("licences: {allow: [mit]}", TRAIN, "the licence apache-2.0, which the policy does not allow"),
    "denied licence": ("licences: {deny: ['APACHE-*']}", TRAIN, "which the policy denies"),
    "unstated licence": ("licences: {unstated: refuse}", TRAIN, "'rows.jsonl' states no licence"),
    "hub of a model": ("hubs: [file]", ("fetch", "hf:org/name"), "is from the hub hf"),
    "package index": ("hubs: [hf]", ("fetch", "pypi:llm-absent==1.0"), "is from the hub pypi"),
    "default hub": ("hubs: [file]", ("fetch", "org/name"), "is from the hub hf"),
    "local files": ("hubs: [hf]", TRAIN, "is from the hub file"),
    "exporter": ("exporters: []", ("export", "model", "--to", "gguf", "--output", "out", "--dry-run"), "exporter gguf is not allowed"),
    "address": ("hosts: []", ("serve", "model", "--host", "0.0.0.0", "--dry-run"), "the host '0.0.0.0' is not allowed"),
    "signer": ("signers: [absent.pub]", TRAIN, "not signed by an allowed signer"),
    "plugin": ("plugins: [absent]", TRAIN, "the plugin 'absent' must be loaded"),
    "variable": ("environment: {SWIFT_AUDIT: required}", TRAIN, "SWIFT_AUDIT must be 'required'"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_against_the_policy_is_refused(case, folder):
    text, words, message = CASES[case]
    policy(folder, "# rules\n" + text)
    code, _, err = swift_here(folder, *words)
    assert (code, message in err) == (2, True), err
    assert "policy.yaml:2" in err
    assert "SWIFT-POLICY-002" in err


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "licences: {allow: [apache-*]}",  # a note on the rows
        "hubs: [file]",
        "{exporters: [gguf], hosts: [], remote_code: [], plugins: [policy]}",
    ],
)
def test_what_is_allowed_runs(text, folder):
    policy(folder, text)
    code, _, err = swift_here(folder, *TRAIN)
    assert code == 0, err
    assert ("states no licence" in err) == ("licences" in text)


def test_a_host_may_be_a_pattern_or_a_network(folder):
    policy(folder, "hosts: ['*.example.org', 10.0.0.0/8]")
    for url, code in (
        ("http://a.example.org/v1", 0),
        ("http://10.1.2.3:80/v1", 0),
        ("http://example.com/v1", 2),
        ("http://localhost:1/v1", 0),
    ):
        found, _, err = swift_here(folder, "ask", "--url", url, "--questions", "Hi?", "--dry-run")
        assert (found == 2 and "POLICY" in err) == (code == 2), err


def test_every_file_applies_and_mistakes_have_a_line(folder, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    (folder / "config" / "swift-core").mkdir(parents=True)
    (folder / "config" / "swift-core" / "policy.yaml").write_text("hubs: [hf]")
    policy(folder, "hubs: [file]")
    assert swift_here(folder, *TRAIN)[0] == 2
    assert set(json.loads(swift_here(folder, "policy", "--json")[1])) == {
        str(folder / "config" / "swift-core" / "policy.yaml"),
        str(folder / "policy.yaml"),
    }
    policy(folder, "hubs: [file]\nlicenses: {}\n")
    code, _, err = swift_here(folder, *TRAIN)
    assert (code, "policy.yaml:2" in err, "licences" in err) == (2, True, True)
    assert swift_here(folder, "policy", "policy.yaml")[0] == 2
    (folder / "policy.yaml").unlink()
    assert swift_here(folder, *TRAIN)[0] == 2
