"""How the conformance kit does its checks: what it starts ends, one cause is reported once, and progress is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swift_testing.commands.check import command
from swift_testing.kit import collect
from swift_testing.kit.collect import cases
from swift_testing.kit.model import CheckFailed, Skip
from swift_testing.kit.probe import Entry
from swift_testing.kit.running import Result
from swift_testing.serving import descendants

BAD = Path(__file__).parent / "bad_plugins"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BAD))
    yield
    collect.close()


def cases_of(name: str):
    return {case.check.name: case for case in cases(Entry(name, name, f"swift-plugin-{name}"))}


def children() -> set[int]:
    return set(descendants(os.getpid())[1:])


@pytest.mark.slow
def test_an_engine_ends_with_its_subject_whichever_checks_were_done():
    before = children()
    found, other = cases_of("good_backend"), cases_of("bad_name")
    found["check_serves"]()
    assert children() - before
    other["check_summary"]()
    assert not children() - before


def test_json_lines_are_printed_as_the_checks_finish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    before = []

    def results(*_, **__):
        yield Result("check_a", "tuner", "x", "passed")
        before.append(json.loads(capsys.readouterr().out)["check"])
        yield Result("check_b", "tuner", "x", "failed", "why")

    monkeypatch.setattr("swift_testing.kit.running.results", results)
    assert command.main(["x", "--json-lines"], standalone_mode=False) == 1
    assert before == ["check_a"]
    assert [json.loads(line)["reason"] for line in capsys.readouterr().out.splitlines()] == ["why"]


def test_one_check_is_chosen_by_its_name_or_its_id_and_starts_only_what_it_needs(monkeypatch):
    entry = Entry("good_backend", "good_backend", "good_backend")
    every = [case.id for case in cases(entry)]
    assert [case.id for case in cases(entry, checks=["check_summary"])] == [name for name in every if name.startswith("check_summary")]
    (one,) = cases(entry, checks=["check_max_tokens[backend good]"])
    assert one.subject.checks == {"check_max_tokens"}
    monkeypatch.setattr(collect, "probe", None)  # neither probed nor imported for checks of the plugin as a whole
    assert [case.id for case in cases(entry, checks=["check_import", "check_api"])] == ["check_import", "check_api"]
    assert {case.subject.kind for case in cases(entry, kinds=["plugin"])} == {"plugin"}


@pytest.mark.slow
def test_one_check_alone_leaves_nothing_running(tmp_path):
    """`pytest -k` and `--check` alike: what is still open when the process ends is closed."""
    code = (
        "from swift_testing.kit.collect import cases\nfrom swift_testing.kit.probe import Entry\n"
        "found = {case.check.name: case for case in cases(Entry('g', 'good_backend', 'g'))}\nfound['check_serves']()\n"
        "print(found['check_serves'].subject.kept['served'].process.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(BAD)}, check=True
    )
    assert not Path(f"/proc/{done.stdout.split()[-1]}").exists()


def test_one_cause_is_reported_once(tmp_path, monkeypatch):
    (tmp_path / "raising.py").write_text(
        "from swift_core import hookimpl\nfrom swift_core.contract.specs import OptimizerSpec, Ref\n\n\n"
        "class Raising:\n    def __init__(self, options):\n        raise KeyError('rank')\n\n\n"
        "@hookimpl\ndef swift_optimizers():\n    return [OptimizerSpec(name='raising', summary='x', factory=Ref('raising:Raising'))]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = cases_of("raising")
    with pytest.raises(CheckFailed, match=r"can't be built with its options: KeyError: 'rank' \(.*raising.py, line 7\)"):
        found["check_role"]()
    for name in ("check_optimizer_steps", "check_optimizer_groups", "check_optimizer_state"):
        with pytest.raises(Skip, match="same cause as the failure of check_role"):
            found[name]()
    again = cases_of("raising")
    with pytest.raises(CheckFailed, match=r"^KeyError: 'rank' \(.*raising.py, line 7\)"):  # it alone says what is wrong
        again["check_optimizer_steps"]()


@pytest.mark.slow
def test_a_failure_shows_the_end_of_the_engine_s_log():
    found = cases_of("bad_start")
    with pytest.raises(CheckFailed) as caught:
        found["check_serves"]()
    text = str(caught.value)
    assert "End of the engine's log (" in text
    assert text.endswith("):\n  RuntimeError: no luck today")
    kept = Path(text.partition("log (")[2].partition("):")[0])
    assert "no luck today" in kept.read_text()
    with pytest.raises(Skip, match="the failure of check_serves"):
        found["check_max_tokens"]()


@pytest.mark.slow
def test_each_check_is_announced_and_a_local_file_is_checked(swift):
    (swift.folder / "mine.py").write_text(
        "import click\nfrom swift_core import hookimpl\nfrom swift_core.contract.specs import LauncherSpec, Ref\n\n"
        "SWIFT_COMMANDS = {'mine-says': 'mine:says'}\n\n\n@click.command()\n@click.argument('n')\n"
        "def says(n):\n    'Say it.'\n    int(n)\n\n\n"
        "def launcher(options):\n    from swift_core.runs.local_launcher import LocalLauncher\n\n    return LocalLauncher()\n\n\n"
        "@hookimpl\ndef swift_launchers():\n    return [LauncherSpec(name='mine', summary='Mine', factory=Ref('mine:launcher'))]\n"
    )
    outcome = swift("plugins", "check", "mine.py")
    assert outcome.code == 1
    assert "plugin mine: check_import_is_light … passed, " in outcome.err  # with click, for its commands
    assert "launcher mine: check_ranks … passed, " in outcome.err
    assert "command mine-says: check_command_import_is_light … passed, " in outcome.err
    assert "with there-is-no-such-thing it raises ValueError: invalid literal" in outcome.out
    assert "mine.py, line 12)" in outcome.out
