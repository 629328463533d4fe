"""Plugins that fail in every way we could think of: each is recorded by name, and the command line stays usable beside it."""

from __future__ import annotations

import json

import pytest
from swift_testing.codes import coded

from swift_core import SwiftError, UsageError, hookimpl
from swift_core.contract.specs import BackendSpec, LauncherSpec, Ref, TunerSpec
from swift_core.plugins.loader import BrokenPlugin, Plugins
from swift_core.plugins.registered import Registry

GOOD = """
from swift_core import hookimpl
from swift_core.contract.specs import LauncherSpec, Ref

@hookimpl
def swift_launchers():
    return [LauncherSpec(name="moon", summary="Starts on the moon", factory=Ref("moon:Launcher"))]
"""

BROKEN = {
    "raises on import": ("raise RuntimeError('no luck today')", "RuntimeError: no luck today"),
    "exits on import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "needs a missing module": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "syntax error": ("def (", "SyntaxError"),
    "misspelt hook": (
        "from swift_core import hookimpl\n@hookimpl\ndef swift_backend(): return []",
        "there is no hook 'swift_backend'. Did you mean 'swift_backends'?",
    ),
    "unknown argument": ("from swift_core import hookimpl\n@hookimpl\ndef swift_check(run, mood): return []", "mood"),
    "another API version": ('SWIFT_API = ">=99"\n' + GOOD, "requires plugin API >=99, and this swift-core has 2.0"),
    "API version that is none": ('SWIFT_API = "latest"\n' + GOOD, "not a valid version specifier"),
    "no hooks": ("x = 1", "answers no hook"),
    "hook raises": (
        "from swift_core import hookimpl\n@hookimpl\ndef swift_tuners(): raise ValueError('oops')",
        "swift_tuners() raised ValueError: oops",
    ),
    "hook returns nonsense": (
        "from swift_core import hookimpl\n@hookimpl\ndef swift_tuners(): return ['lora']",
        "must return TunerSpec objects, not str",
    ),
    "hook returns a string": (
        "from swift_core import hookimpl\n@hookimpl\ndef swift_tuners(): return 'lora'",
        "must return a list of TunerSpec",
    ),
    "wrong kind": (GOOD.replace("swift_launchers", "swift_tuners"), "must return TunerSpec objects, not LauncherSpec"),
}


def test_broken_plugins_are_named_and_the_others_work(swift, distribution):
    named = {case: f"bad{number}" for number, case in enumerate(BROKEN)}
    for case, (source, _) in BROKEN.items():
        distribution(f"swift-plugin-{named[case]}", source)
    distribution("swift-plugin-moon", GOOD)
    records = {record["name"]: record for record in json.loads(swift("plugins", "--json").out)}
    for case, (_, reason) in BROKEN.items():
        record = records[named[case]]
        assert reason in record["failure"], case
        assert (f"{named[case]}.py, line 3)" in record["failure"]) == (case == "hook raises")
        assert record["distribution"] == f"swift-plugin-{named[case]}"
    assert records["moon"]["failure"] == ""
    assert records["moon"]["offers"][0]["name"] == "moon"
    assert swift("plugins").out.count("BROKEN") >= len(BROKEN)
    for case in ("raises on import", "hook raises"):
        assert BROKEN[case][1] in swift("plugins", named[case]).out


def test_strict_makes_it_fatal(swift, distribution):
    distribution("swift-plugin-bad", "raise RuntimeError('no luck today')")
    swift.env["SWIFT_STRICT_PLUGINS"] = "1"
    outcome = swift("plugins")
    assert outcome.code == 2
    assert "plugin 'bad' (swift-plugin-bad 1.0): RuntimeError: no luck today" in outcome.err


def test_a_blocked_plugin_is_not_imported(swift, distribution):
    distribution("swift-plugin-bad", "raise RuntimeError('imported')")
    swift.env["SWIFT_BLOCK_PLUGINS"] = "bad"
    out = swift("plugins").out
    assert "disabled by SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS: bad\n" in out
    assert "BROKEN" not in out


@pytest.mark.parametrize("ref", ["nowhere_at_all:Thing", "nowhere_at_all.part:Thing"])
def test_a_ref_to_nowhere_is_not_to_be_installed(ref):
    with pytest.raises(SwiftError) as caught:
        Ref(ref).load()
    assert "pip install" not in caught.value.hint


def test_a_plugin_that_is_left_out_is_not_called_uninstalled(swift):
    swift.env["SWIFT_BLOCK_PLUGINS"] = "peft"
    assert "swift-plugin-peft" not in swift("plugins").out
    refused = swift("sft", "--model", "x", "--dataset", "y", "--tuner", "lora")
    assert "Left out by SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS: peft." in refused.err
    assert "pip install" not in refused.err


def test_only_named_plugins_are_loaded(swift, distribution):
    distribution("swift-plugin-moon", GOOD)
    swift.env["SWIFT_LOAD_PLUGINS"] = "moon"
    assert {record["name"] for record in json.loads(swift("plugins", "--json").out) if record["hooks"]} == {"core", "moon"}


def test_two_plugins_of_one_entry_name(swift, distribution):
    distribution("swift-plugin-moon", GOOD)
    distribution("moon-too", GOOD.replace('"moon"', '"sun"'), entry="moon")
    failures = [record["failure"] for record in json.loads(swift("plugins", "--json").out)]
    assert any("the plugin name 'moon' is taken by" in failure for failure in failures)


def test_a_third_party_command_is_listed_without_being_imported(swift, distribution):
    distribution("swift-plugin-dance", "raise RuntimeError('imported')", group="swift.commands", target="swift_plugin_dance:command")
    outcome = swift("--help")
    assert outcome.code == 0
    assert "dance" in outcome.out


def launcher(name: str) -> object:
    class Module:
        @hookimpl
        def swift_launchers(self):
            return [LauncherSpec(name=name, summary="A launcher", factory=Ref("x:Y"))]

    return Module()


def test_a_name_taken_twice_is_an_error_that_from_settles():
    plugins = Plugins()
    plugins.register(launcher("moon"), "a", distribution="dist-a")
    plugins.register(launcher("moon"), "b", distribution="dist-b")
    known = Registry(plugins)
    with pytest.raises(UsageError, check=coded("PLUGIN-021"), match="two plugins offer the launcher 'moon': dist-a and dist-b") as caught:
        known.get("launcher", "moon")
    assert "from: dist-a" in caught.value.hint
    assert known.entry("launcher", "moon", origin="dist-b").plugin.name == "b"
    assert known.choose("launcher", "moon", origin="b").distribution == "dist-b"


def test_unknown_names_have_three_texts():
    plugins = Plugins()
    plugins.register(launcher("moon"), "a", distribution="dist-a")
    known = Registry(plugins)
    with pytest.raises(UsageError, check=coded("PLUGIN-023"), match="there is no launcher 'moonn'") as caught:
        known.get("launcher", "moonn")
    assert caught.value.hint == "Did you mean 'moon'?"
    with pytest.raises(UsageError, check=coded("PLUGIN-022"), match="the backend 'vllm' is not installed") as caught:
        known.get("backend", "vllm")
    assert caught.value.hint == "pip install swift-plugin-vllm"
    plugins.register(object(), "vllm", distribution="swift-plugin-vllm", version="0.1")
    with pytest.raises(UsageError, check=coded("PLUGIN-025"), match=r"comes with swift-plugin-vllm 0.1, which is installed but broken"):
        Registry(plugins).get("backend", "vllm")


def test_isolated_is_refused_for_a_role_that_shares_the_process():
    class Module:
        @hookimpl
        def swift_tuners(self):
            return [TunerSpec(name="x", summary="x", factory=Ref("x:Y"), trains="adapter", isolated=True)]

        @hookimpl
        def swift_backends(self):
            return [BackendSpec(name="y", summary="y", factory=Ref("x:Y"), reads=("safetensors",), isolated=True)]

    plugins = Plugins()
    plugins.register(Module(), "a")
    known = Registry(plugins)
    assert known.get("backend", "y").isolated
    assert known.all("tuner") == []
    assert "shares the training process" in plugins.found["a"].failure


def test_strict_error_is_a_usage_error(monkeypatch):
    monkeypatch.setenv("SWIFT_STRICT_PLUGINS", "1")
    with pytest.raises(BrokenPlugin):
        Plugins().register(object(), "empty")


def test_a_misspelt_command_is_no_plugin(swift):
    refused = swift("plugins", "chek", "peft")
    assert refused.code == 2
    assert "there is no command 'plugins chek' [SWIFT-PLUGIN-002]\n  Did you mean 'check'?" in refused.err
