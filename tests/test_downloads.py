"""Downloads against a server on this machine: cut, resumed, damaged, refused, unreachable, and onto a full disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from swift_hub import downloads
from swift_hub.package_index import fetch_from_index, index_url
from swift_testing.codes import coded
from swift_testing.servers import FileServer

from swift_core.contract.errors import SwiftError, UsageError

CONTENTS = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENTS).hexdigest()


@pytest.fixture
def server():
    with FileServer({"/a.bin": CONTENTS}) as server:
        yield server


def fetch(server, target: Path, sha256: str = SHA256, path: str = "/a.bin", progress=None) -> Path:
    with downloads.client() as http:
        return downloads.download(http, server.url + path, target, sha256=sha256, progress=progress)


def test_whole_file_with_progress(server, tmp_path):
    seen = []
    found = fetch(server, tmp_path / "new" / "a.bin", progress=lambda *reported: seen.append(reported))
    assert found.read_bytes() == CONTENTS
    assert seen[-1] == ("a.bin", len(CONTENTS), len(CONTENTS))
    assert [path.name for path in found.parent.iterdir()] == ["a.bin"]


def test_cut_in_the_middle_goes_on_where_it_stopped(server, tmp_path):
    server.cuts[:] = [300_000]
    assert fetch(server, tmp_path / "a.bin").read_bytes() == CONTENTS
    assert [range_header for _, range_header in server.requests] == ["", "bytes=300000-"]


def test_cut_again_and_again_keeps_what_came_for_the_next_call(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    server.cuts[:] = [1000] * 4
    with pytest.raises(SwiftError, match=r"lost 4 times[^$]*4,000 bytes") as caught:
        fetch(server, tmp_path / "a.bin")
    assert not isinstance(caught.value, UsageError)
    assert not (tmp_path / "a.bin").exists()
    assert fetch(server, tmp_path / "a.bin").read_bytes() == CONTENTS
    assert server.requests[-1][1] == "bytes=4000-"


def test_a_wrong_hash_is_said_and_the_file_deleted(server, tmp_path):
    with pytest.raises(SwiftError, check=coded("HUB-005")):
        fetch(server, tmp_path / "a.bin", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    assert len(server.requests) == 1


def test_an_old_piece_of_another_file_is_not_kept(server, tmp_path):
    piece = tmp_path / f".a.bin.{SHA256[:12]}.part"
    piece.write_bytes(b"x" * 5000)
    assert fetch(server, tmp_path / "a.bin").read_bytes() == CONTENTS
    piece.write_bytes(CONTENTS + b"more")  # the server answers 416
    assert fetch(server, tmp_path / "a.bin").read_bytes() == CONTENTS


def test_a_piece_that_is_the_whole_file_is_enough(server, tmp_path):
    (tmp_path / f".a.bin.{SHA256[:12]}.part").write_bytes(CONTENTS)
    assert fetch(server, tmp_path / "a.bin").read_bytes() == CONTENTS


def test_missing_and_refused(server, tmp_path):
    with pytest.raises(UsageError, check=coded("HUB-006"), match="there is no such file"):
        fetch(server, tmp_path / "b", path="/b")


@pytest.mark.parametrize(
    ("status", "kind", "text"), [(403, UsageError, "denies access"), (404, UsageError, "nothing there"), (503, SwiftError, "failed")]
)
def test_status_in_words(status, kind, text):
    import httpx2

    answer = httpx2.Response(status, request=httpx2.Request("GET", "https://me:secret@host/x"))
    with pytest.raises(kind, match=text) as caught:
        downloads.check_answer(answer, missing="nothing there")
    assert "secret" not in str(caught.value)


def test_no_network(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.bin"
        with downloads.client() as http, pytest.raises(SwiftError, check=coded("HUB-009")) as caught:
            downloads.download(http, url, tmp_path / "a.bin", sha256=SHA256)
    assert caught.value.exit_code == 1
    assert "SWIFT_OFFLINE=1" in caught.value.hint


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 kB, where the machine lets tests mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], check=False, capture_output=True).returncode:
        pytest.skip("tests may not mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk(server, small_disk):
    with pytest.raises(SwiftError, check=coded("FILE-005"), match="the disk is full"):
        fetch(server, small_disk / "a.bin")
    assert list(small_disk.iterdir()) == []


def test_full_disk_without_a_disk(server, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_receive", full)
    with pytest.raises(SwiftError, check=coded("FILE-005"), match="the disk is full"):
        fetch(server, tmp_path / "a.bin")


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="SWIFT_HOME"):
        fetch(server, tmp_path / "a.bin")


@pytest.mark.parametrize("html", [False, True])
def test_fetch_from_index(server, tmp_path, monkeypatch, html):
    server.html = html
    server.add("thing", "thing-1.0.tar.gz", CONTENTS)
    monkeypatch.setenv("PIP_INDEX_URL", server.index + "/")
    assert fetch_from_index("thing", "thing-1.0.tar.gz", tmp_path, sha256=SHA256).read_bytes() == CONTENTS
    with pytest.raises(UsageError, check=coded("HUB-012"), match=r"no file 'thing-1\.0\.tar'") as caught:
        fetch_from_index("thing", "thing-1.0.tar", tmp_path)
    assert "thing-1.0.tar.gz" in caught.value.hint
    with pytest.raises(UsageError, check=coded("HUB-006"), match="no project 'other'"):
        fetch_from_index("other", "x", tmp_path)


def test_the_pinned_hash_wins_over_the_index(server, tmp_path, monkeypatch):
    server.add("thing", "thing-1.0.tar.gz", b"replaced")
    monkeypatch.setenv("PIP_INDEX_URL", server.index)
    with pytest.raises(SwiftError, check=coded("HUB-005")):
        fetch_from_index("thing", "thing-1.0.tar.gz", tmp_path, sha256=SHA256)


def test_the_index_is_the_one_of_pip(tmp_path, monkeypatch):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple/\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert index_url() == "https://mirror.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple/")
    assert index_url() == "https://other.example/simple"


def test_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, check=coded("FILE-001"), match=r"thing-1\.0\.tar\.gz"):
        fetch_from_index("thing", "thing-1.0.tar.gz", tmp_path)


def test_a_certificate_file_that_is_not_there(monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/nowhere/ca.pem")
    with pytest.raises(UsageError, check=coded("HUB-004")):
        downloads.client()
