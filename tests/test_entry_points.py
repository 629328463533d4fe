"""What is installed is read once, and anew when something was installed, upgraded or removed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift_core.plugins import metadata
from swift_core.plugins.metadata import Point
from swift_core.system import paths

ROOT = Path(__file__).parent.parent
POINTS = "[swift.plugins]\n{name} = swift_plugin_{name}\n[swift.commands]\n{name} = swift_plugin_{name}:command\n[other]\nx = y\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of distributions that is all of sys.path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    return folder


def install(folder: Path, name: str, version: str = "1.0", *, settled: bool = True) -> Path:
    info = folder / f"swift_plugin_{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: swift-plugin-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(POINTS.format(name=name))
    if settled:
        settle(folder)
    return info


def settle(folder: Path) -> None:
    """As if it had changed a while ago, at another time than ever before."""
    settle.age = getattr(settle, "age", 1000) - 1
    os.utime(folder, (time.time() - settle.age,) * 2)


def found(group: str = "swift.plugins") -> list[tuple[str, str]]:
    return [(point.name, point.version) for point in metadata.entry_points(group)]


def test_it_finds_what_importlib_finds():
    for group in metadata.GROUPS:
        theirs = {(point.name, point.value, point.dist.name) for point in importlib.metadata.entry_points(group=group)}
        for _ in range(2):
            ours = {(point.name, point.value, point.distribution) for point in metadata.entry_points(group)}
            assert ours == theirs


def test_what_changes_is_seen(site):
    assert found() == []
    first = install(site, "moon")
    assert found() == [("moon", "1.0")]
    shutil.rmtree(first)
    install(site, "moon", "2.0")
    assert found() == [("moon", "2.0")]
    install(site, "sun")
    assert sorted(found("swift.commands")) == [("moon", "2.0"), ("sun", "1.0")]
    shutil.rmtree(site / "swift_plugin_moon-2.0.dist-info")
    settle(site)
    assert found() == [("sun", "1.0")]


def test_an_unchanged_folder_is_not_read_again(site, monkeypatch):
    install(site, "moon")
    assert found() == [("moon", "1.0")]
    monkeypatch.setattr(metadata, "_scan", lambda folder: pytest.fail("it was read again"))
    assert found() == [("moon", "1.0")]


def test_an_installation_under_way_is_not_kept(site):
    info = install(site, "moon", settled=False)
    (info / "entry_points.txt").unlink()
    assert found() == []
    (info / "entry_points.txt").write_text(POINTS.format(name="moon"))  # the folder above does not change by this
    assert found() == [("moon", "1.0")]


def test_of_two_with_one_name_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    install(site, "moon", "1.0")
    install(tmp_path / "later", "moon", "2.0")
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path / "later")])
    for _ in range(2):
        assert found() == [("moon", "1.0")]


def test_a_damaged_or_unwritable_cache_costs_no_answer(site, tmp_path, monkeypatch):
    install(site, "moon")
    file = paths.cache_dir("entry-points-1.json")
    file.parent.mkdir()
    file.write_text("{")
    assert found() == [("moon", "1.0")]
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "file"))
    assert found() == [("moon", "1.0")]


def test_it_loads_a_module_or_what_is_in_it():
    assert Point("g", "n", "swift_core.system.paths", "d", "1").load() is paths
    assert Point("g", "n", "swift_core.system.paths:cache_dir", "d", "1").load() is paths.cache_dir


def test_help_reads_no_metadata_once_warm(cold, swift):
    """Nor does it import a plugin: so it takes as long with a hundred of them as with none."""
    code = (
        "import importlib.metadata, sys; from swift_core.cli import invoke as run\n"
        "importlib.metadata.Distribution.discover = None\n"
        "assert run(['--help']) == 0\n"
        "assert not [name for name in sys.modules if name.startswith('swift_plugin_')]"
    )
    swift("--help")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
