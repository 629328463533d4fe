"""The log is appended by many, survives kills, full and read-only disks, and every way to change it is noticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from swift_plugin_audit import entry as entries, heads, observer
from swift_plugin_audit.log import Draft, Log, read
from swift_plugin_audit.places import places
from swift_plugin_audit.prune import find
from swift_plugin_audit.redact import Selection, redact, select
from swift_plugin_audit.verify import verify

from swift_core.contract import Run, Source, SwiftError, UsageError
from swift_core.system import write_result, write_run
from tests.here import swift_here


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("log", "heads", "key"):
        monkeypatch.setenv(f"SWIFT_AUDIT_{name.upper()}", str(tmp_path / name / name))
    monkeypatch.chdir(tmp_path)
    return places()


def ran(folder: Path, *, end: str = "done", **options) -> Path:
    run = Run(verb="sft", job="a:b", options={"epochs": 1, **options})
    write_run(run, folder)
    observer.started(run, folder)
    if end:
        result = {"status": end, "output": "", "figures": {"loss": float("nan")}, "seconds": 1.0}
        write_result(folder, result)
        observer.finished(run, folder, result)
    return folder


@pytest.fixture
def log(here, tmp_path):
    """Eleven entries: the first, and two of each of five runs."""
    for number in range(5):
        ran(tmp_path / "runs" / f"r{number}", note=f"run {number} of Ada")
    return here


def changed(here, change) -> None:
    lines = here.log.read_bytes().splitlines(keepends=True)
    here.log.write_bytes(b"".join(change(lines)))


def test_what_a_run_leaves_is_recorded_and_verifies(log, tmp_path):
    found = verify(log, runs=tmp_path / "runs")
    assert (found.holds, found.entries, found.signed, found.open) == (True, 11, 11, [])
    start, end = [each for each in read(log.log) if each.head["run"] == "r2"]
    assert start.section("asked")["options"] == {"epochs": 1, "note": "run 2 of Ada"}
    assert start.section("who")["uid"] == os.getuid()
    assert start.section("records")["run.json"]
    assert (end.head["event"], end.section("result")["figures"]) == ("run-done", {"loss": "nan"})
    assert oct(log.log.stat().st_mode & 0o777) == oct(log.key.stat().st_mode & 0o777) == "0o600"


def rechained(lines: list[bytes], at: int) -> list[bytes]:
    """What an attacker writes who knows the format: line `at` changed, and all hashes after it computed anew."""
    out, last = lines[:at], entries.parse(lines[at - 1][:-1])
    for line in lines[at:]:
        old = entries.parse(line[:-1])
        body = {name: dict(value) for name, value in old.body.items()}
        if len(out) == at:
            body["result"] = {**body["result"], "value": {"status": "done", "figures": {"loss": 0.1}}}
        sections = {name: entries.section_hash(value) for name, value in body.items()}
        last = entries.Entry({**old.head, "prev": last.hash, "sections": sections}, body)
        out.append(last.line() + b"\n")
    return out


ATTACKS = {
    "a value is edited": (lambda lines: [*lines[:4], lines[4].replace(b'"status":"done"', b'"status":"gone"'), *lines[5:]], 5),
    "a head is edited": (lambda lines: [*lines[:4], lines[4].replace(b'"run":"r1"', b'"run":"r9"'), *lines[5:]], 6),
    "a line is cut out": (lambda lines: lines[:4] + lines[5:], 5),
    "lines are swapped": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], 5),
    "a line is doubled": (lambda lines: [*lines[:5], lines[4], *lines[5:]], 6),
    "an empty line is inserted": (lambda lines: [*lines[:5], b"\n", *lines[5:]], 6),
    "a section is removed": (lambda lines: [*lines[:4], without_section(lines[4]), *lines[5:]], 5),
    "spaces are added": (lambda lines: [*lines[:4], lines[4].replace(b'{"body"', b'{ "body"'), *lines[5:]], 5),
    "a key is doubled": (lambda lines: [*lines[:4], lines[4].replace(b'"head":', b'"head":{},"head":'), *lines[5:]], 5),
    "the end is cut off": (lambda lines: lines[:-2], 0),
    "the end is cut off within a line": (lambda lines: [*lines[:-1], lines[-1][:40]], 0),
    "all is rewritten from a line on": (lambda lines: rechained(lines, 4), 5),
    "the first line is cut off": (lambda lines: lines[1:], 1),
    "everything is cut off": (lambda lines: [], 0),
}


def without_section(line: bytes) -> bytes:
    entry = entries.parse(line[:-1])
    return entries.Entry(entry.head, {name: value for name, value in entry.body.items() if name != "result"}).line() + b"\n"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_noticed_and_the_first_bad_line_named(attack, log):
    change, line = ATTACKS[attack]
    changed(log, change)
    found = verify(log)
    assert not found.holds
    assert found.line == line, found.problems


def test_the_log_of_another_machine_in_its_place_is_noticed(log, tmp_path):
    other = tmp_path / "other"
    elsewhere = type(log)(other / "log", other / "heads", other / "key")
    Log(elsewhere).append([Draft("run-started", f"x{number}") for number in range(11)])
    log.log.write_bytes(elsewhere.log.read_bytes())
    assert "the log was replaced" in verify(log).problems[0]
    log.heads.write_bytes(elsewhere.heads.read_bytes())
    assert "not signed by this key" in verify(log).problems[0]
    kept = tmp_path / "copy.pub"
    kept.write_bytes(log.public.read_bytes())
    log.public.write_bytes(elsewhere.public.read_bytes())
    assert verify(log).holds  # who replaces the public key too is noticed by a copy of it alone
    assert not verify(log, public=kept).holds


def test_an_older_copy_of_log_and_heads_is_noticed_by_the_run_folders(log, tmp_path):
    before = log.log.read_bytes(), log.heads.read_bytes()
    ran(tmp_path / "runs" / "later")
    log.log.write_bytes(before[0])
    log.heads.write_bytes(before[1])
    assert verify(log).holds
    assert "later" in verify(log, runs=tmp_path / "runs").problems[0]


def test_an_entry_that_somebody_added_is_not_signed_with_the_next_one(log, tmp_path):
    forged = entries.make(list(read(log.log))[-1], "run-done", "forged", sections={"result": {"status": "done"}})
    with log.log.open("ab") as file:
        file.write(forged.line() + b"\n")
    assert "the last 1 entries are not signed" in verify(log).problems[0]
    ran(tmp_path / "runs" / "next")
    found = verify(log)
    assert found.holds
    assert "11 of 12 entries were signed" in found.notes[0]


def test_rubbish_is_damage_and_no_crash(log, tmp_path):
    for line in (b"[" * 100_000, b"\xff\xfe", b"null", b'{"head":{},"body":{}}', b'{"head":[],"body":{}}', b"9" * 5000):
        before = log.log.read_bytes()
        log.log.write_bytes(before + line + b"\n")
        found = verify(log)
        assert (found.holds, found.line) == (False, 12), line
        with pytest.raises(SwiftError):
            Log(log).append([Draft("run-started")])
        log.log.write_bytes(before)
    marker = log.log.with_name("log.open") / "x.json"
    for text in ("", "null", "{}", '{"run": 1, "folder": 2}', "["):
        marker.write_text(text)
        ran(tmp_path / "runs" / f"after-{len(text)}")
    assert verify(log).holds


def test_a_log_that_begins_anew_says_what_came_before(log, tmp_path):
    log.log.unlink()
    ran(tmp_path / "runs" / "next")
    found = verify(log)
    assert found.holds
    assert "11 entries came before" in found.notes[0]


@pytest.mark.parametrize("name", ["log", "heads"])
def test_a_symbolic_link_in_its_place_is_refused(name, here, tmp_path):
    place, victim = getattr(here, name), tmp_path / "victim"
    victim.write_text("mine\n")
    place.parent.mkdir()
    place.symlink_to(victim)
    with pytest.raises(SwiftError) as refused:
        Log(here).append([Draft("run-started")])
    assert refused.value.code == "AUDIT-002"
    assert victim.read_text() == "mine\n"
    place.unlink()
    os.link(victim, place)
    with pytest.raises(SwiftError):
        Log(here).append([Draft("run-started")])
    assert victim.read_text() == "mine\n"


def test_processes_append_at_the_same_time(here, tmp_path):
    source = textwrap.dedent("""
        import sys
        from swift_plugin_audit.log import Draft, Log
        from swift_plugin_audit.places import places
        for number in range(20):
            Log(places()).append([Draft("run-started", f"{sys.argv[1]}-{number}", {"who": {"n": number}})])
    """)
    writers = [subprocess.Popen([sys.executable, "-c", source, str(number)]) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = verify(here)
    assert (found.holds, found.entries, found.heads) == (True, 61, 60)


def test_a_killed_run_is_found_by_the_next_one(log, tmp_path):
    folder = tmp_path / "runs" / "killed"
    source = f"""
import os, signal
from pathlib import Path
from swift_core.contract import Run
from swift_core.system import write_run
from swift_plugin_audit import observer
run, folder = Run(verb="sft", job="a:b"), Path({str(folder)!r})
write_run(run, folder)
observer.started(run, folder)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", source], check=False)
    assert verify(log).open == ["killed"]
    ran(tmp_path / "runs" / "next")
    found = verify(log)
    assert (found.holds, found.open) == (True, [])
    end = next(each for each in read(log.log) if each.head["event"] == "run-killed")
    assert end.head["run"] == "killed"
    assert end.section("found")["pid"] == os.getpid()
    assert not list(log.log.with_name("log.open").iterdir())


def test_a_torn_line_is_removed_and_recorded(log, tmp_path):
    with log.log.open("ab") as file:
        file.write(b'{"body":{"who"')
    found = verify(log)
    assert found.holds
    assert "torn" in found.notes[0]
    ran(tmp_path / "runs" / "next")
    assert verify(log).holds
    assert [each.head["torn"]["bytes"] for each in read(log.log) if each.head["event"] == "torn-line-removed"] == [14]


def test_a_full_disk_leaves_no_half_line(here, tmp_path, monkeypatch):
    disk = tmp_path / "log"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=False, capture_output=True).returncode:
        pytest.skip("a file system can't be mounted here")
    try:
        with pytest.raises(SwiftError) as full:
            for number in range(100):
                Log(here).append([Draft("run-started", f"r{number}", {"who": {"text": "x" * 500}})])
        assert full.value.code == "FILE-005"
        assert here.log.read_bytes().endswith(b"\n")
        assert verify(here).entries > 5
        assert verify(here).holds
        run = Run(verb="sft", job="a:b", options={"text": "x" * 4000})
        write_run(run, tmp_path / "run")
        observer.started(run, tmp_path / "run")  # a warning
        monkeypatch.setenv("SWIFT_AUDIT", "required")
        with pytest.raises(SwiftError):
            observer.started(run, tmp_path / "run")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_place_that_cannot_be_written_is_a_note_or_refused(here, tmp_path, monkeypatch):
    (tmp_path / "log").write_text("a file, where the folder should be")
    (problem,) = observer.problems()
    assert (problem.code, problem.fatal) == ("AUDIT-007", False)
    monkeypatch.setenv("SWIFT_AUDIT", "required")
    (problem,) = observer.problems()
    assert problem.fatal
    monkeypatch.setenv("SWIFT_AUDIT", "off")
    assert list(observer.problems()) == []
    monkeypatch.setenv("SWIFT_AUDIT", "yes")
    with pytest.raises(UsageError):
        list(observer.problems())


def test_redacted_sections_are_gone_and_the_log_still_holds(log, tmp_path):
    chosen = select(log, Selection(subject="run 3 of Ada"))
    assert chosen == {8: ["asked"]}
    redact(log, chosen, "request of the subject")
    assert b"run 3 of Ada" not in log.log.read_bytes()
    found = verify(log, runs=tmp_path / "runs")
    assert (found.holds, found.removed, found.entries) == (True, 1, 12)
    assert list(read(log.log))[-1].head["redacted"] == {"8": ["asked"]}
    assert select(log, Selection(days=1)) == {}
    assert len(select(log, Selection(days=0, sections=["who"]))) == 6
    with pytest.raises(UsageError):
        select(log, Selection())
    ran(tmp_path / "runs" / "next")
    assert verify(log).holds


def test_the_commands(log, tmp_path):
    assert swift_here(tmp_path, "audit", "verify", "--runs", "runs")[0] == 0
    code, out, _ = swift_here(tmp_path, "audit", "show", "r2")
    assert [each["event"] for each in json.loads(out)] == ["run-started", "run-done"]
    assert "r4" in swift_here(tmp_path, "audit", "show")[1]
    assert swift_here(tmp_path, "audit", "show", "absent")[0] == 2
    assert "11 entries" in swift_here(tmp_path, "audit", "export", "out.csv")[1]
    assert (tmp_path / "out.csv").read_text().startswith("seq,time,event,run")
    assert swift_here(tmp_path, "audit", "export", "out.jsonl")[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 11
    words = ("audit", "redact", "--run", "r0", "--section", "who", "--reason", "retention")
    assert "add --yes" in swift_here(tmp_path, *words)[1]
    assert "removed: 1" in swift_here(tmp_path, *words, "--yes")[1]
    changed(log, lambda lines: lines[:3] + lines[4:])
    code, out, _ = swift_here(tmp_path, "audit", "verify", "--json")
    assert (code, json.loads(out)["line"]) == (1, 4)


def test_pruned_runs_leave_a_tombstone_that_the_log_knows(log, tmp_path):
    runs = tmp_path / "runs"
    words = ("runs", "prune", "--subject", "run 1 of Ada", "--reason", "retention")
    assert "runs/r1" in swift_here(tmp_path, *words)[1]
    assert swift_here(tmp_path, *words, "--yes")[0] == 0
    assert [path.name for path in (runs / "r1").iterdir()] == ["tombstone.json"]
    assert set(json.loads((runs / "r1" / "tombstone.json").read_text())["removed"]) == {"run.json", "result.json", "audit.json"}
    assert verify(log, runs=runs).holds
    changed_stone = (runs / "r1" / "tombstone.json").read_text().replace('"count": 12', '"count": 11')
    (runs / "r1" / "tombstone.json").write_text(changed_stone)
    assert not verify(log, runs=runs).holds
    assert swift_here(tmp_path, "runs", "prune", "--reason", "x")[0] == 2
    assert swift_here(tmp_path, "runs", "prune", "--older-than", "1", "--reason", "x")[1].strip().startswith("0")


def test_the_base_of_a_remaining_run_is_kept(here, tmp_path):
    base, tuned = tmp_path / "runs" / "base", tmp_path / "runs" / "tuned"
    source = Source(reference="", path=str(base / "output"), hash="", format="", family="")
    for folder, run in ((base, Run(verb="sft", job="old:subject")), (tuned, Run(verb="merge", job="a:b", model=source))):
        write_run(run, folder)
        (folder / "output").mkdir()
        write_result(folder, {"status": "done", "output": str(folder / "output")})
    assert [each.folder.name for each in find(tmp_path / "runs", days=None, subject="old:subject")] == []
    shutil.rmtree(tuned)
    assert [each.folder.name for each in find(tmp_path / "runs", days=None, subject="old:subject")] == ["base"]


def test_a_head_is_signed_by_its_key_alone(log):
    (head, *_) = [heads.parse(json.loads(line)) for line in log.heads.read_text().splitlines()]
    key = heads.public_key(log.public)
    assert heads.is_signed(head, key)
    assert not heads.is_signed(heads.Head(head.log, head.count + 1, head.hash, head.time, head.signature), key)
    with pytest.raises(UsageError) as absent:
        heads.public_key(log.heads)
    assert absent.value.code == "AUDIT-006"
