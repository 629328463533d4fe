"""Archives that try to leave their folder are refused; links are never taken out."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest
from swift_hub.archives import open_archive
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError


def make_zip(path, names=(), links=()):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "contents")
        for name, target in links:
            item = zipfile.ZipInfo(name)
            item.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(item, target)
    return path


def make_tar(path, names=(), links=(), kind=tarfile.SYMTYPE):
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            item = tarfile.TarInfo(name)
            item.size = 8
            file.addfile(item, io.BytesIO(b"contents"))
        for name, target in links:
            item = tarfile.TarInfo(name)
            item.type, item.linkname = kind, target
            file.addfile(item)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_plain_files_come_out(tmp_path, make):
    path = make(tmp_path / ("a.whl" if make is make_zip else "a.tar.gz"), ["a/x.txt", "a/b/y.txt", "..dots/z"], [("a/link", "../a/x.txt")])
    with open_archive(path) as archive:
        assert archive.names == ["a/x.txt", "a/b/y.txt", "..dots/z"]
        assert archive.read("a/x.txt") == b"contents"
        archive.extract({"out.txt": "a/b/y.txt"}, tmp_path)
    assert (tmp_path / "out.txt").read_text() == "contents"


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\..\\evil", "C:\\evil", "\\evil"])
def test_names_that_lead_outside(tmp_path, make, name):
    path = make(tmp_path / ("a.whl" if make is make_zip else "a.tar.gz"), ["fine.txt", name])
    with pytest.raises(UsageError, check=coded("HUB-002")), open_archive(path):
        pass


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd"])
def test_links_that_lead_outside(tmp_path, make, target):
    path = make(tmp_path / ("a.whl" if make is make_zip else "a.tar.gz"), ["fine.txt"], [("a/model.gguf", target)])
    with pytest.raises(UsageError, check=coded("HUB-002"), match=r"a/model\.gguf"), open_archive(path):
        pass


def test_hard_links_and_devices(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", [], [("x", "/etc/passwd")], tarfile.LNKTYPE)
    with pytest.raises(UsageError, check=coded("HUB-002")), open_archive(path):
        pass
    with open_archive(make_tar(tmp_path / "b.tar.gz", [], [("x", "")], tarfile.CHRTYPE)) as archive:
        assert archive.names == []


def test_damaged(tmp_path):
    for name in ("a.whl", "a.tar.gz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(UsageError, check=coded("HUB-001")), open_archive(tmp_path / name):
            pass
