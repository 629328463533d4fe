"""A bundle is what its index says, or nothing is written; what it holds is what the recipe needs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from swift_environments.own_code import third_party
from swift_environments.own_wheels import write_wheel
from swift_plugin_bundle import installer
from swift_plugin_bundle.archive import Writer
from swift_plugin_bundle.contents import contents_of
from swift_plugin_bundle.create import _machine
from swift_plugin_bundle.wheels import Target, roots

from tests.here import swift_here

INDEX = {
    "name": "test",
    "python": ".".join(map(str, sys.version_info[:2])),
    "machine": _machine(Target()),
    "recipe": "recipe.yaml",
    "environment": {"SWIFT_HOME": "home"},
    "settings": {"SWIFT_OFFLINE": "1"},
    "checkpoints": [{"name": "file:tiny", "hash": "ab", "licence": ""}],
    "data": [],
    "packages": [],
}


@pytest.fixture
def files(tmp_path):
    found = {}
    for name, size in (("work/recipe.yaml", 30), ("home/a.bin", 2_500_000), ("home/b.bin", 10), ("home/empty", 0)):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(range(251)) * (size // 251) + b"x" * (size % 251))
        found[name] = path
    return found


def bundle(path: Path, files: dict[str, Path], most: int = 10**9, **index) -> Path:
    writer = Writer(path, most)
    for name, source in files.items():
        writer.add(name, source)
    writer.close({**INDEX, **index})
    return path


def run(path: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-I", path, *words], cwd=path.parent, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("most", [10**9, 1_000_000])
def test_what_was_packed_is_what_is_extracted(most, tmp_path, files):
    path = bundle(tmp_path / "b.pyz", files, most)
    assert len(list(tmp_path.glob("b.pyz*"))) == (1 if most == 10**9 else 3)
    opened = installer.Bundle(path)
    opened.check()
    opened.extract(tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == {name: source.read_bytes() for name, source in files.items()}
    done = run(path, "check")
    assert (done.returncode, done.stdout) == (0, "every file is as listed\n"), done.stderr
    assert "licence: not stated" in run(path, "show").stdout
    assert swift_here(tmp_path, "bundle", "check", "b.pyz")[0] == 0


def rewritten(path: Path, change) -> None:
    """Write the archive anew, with its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in change(members):
            archive.writestr(name, data)


def reindexed(members, change):
    out = []
    for name, data in members:
        if name == installer.INDEX:
            index = json.loads(data)
            change(index)
            data = json.dumps(index).encode()  # noqa: PLW2901
        out.append((name, data))
    return out


def leading_out(index) -> None:
    index["files"]["../out"] = index["files"].pop("home/b.bin")


ATTACKS = {
    "a byte changed": lambda members: [(name, data.replace(b"x", b"y") if name == "home/b.bin" else data) for name, data in members],
    "a file more": lambda members: [*members, ("home/evil.py", b"1")],
    "a file less": lambda members: [item for item in members if item[0] != "home/b.bin"],
    "a file twice": lambda members: [*members, ("home/b.bin", b"xxxxxxxxxx")],
    "a path that leads out": lambda members: reindexed(members, leading_out),
    "another format": lambda members: reindexed(members, lambda index: index.update(format=2)),
    "another Python": lambda members: reindexed(members, lambda index: index.update(python="2.7")),
    "another machine": lambda members: reindexed(members, lambda index: index.update(machine="plan9_vax")),
    "a part that is absent": lambda members: reindexed(members, lambda index: index.update(parts=2)),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_altered_bundle_writes_nothing(attack, tmp_path, files):
    path = bundle(tmp_path / "b.pyz", files)
    rewritten(path, ATTACKS[attack])
    done = run(path, "install", "target")
    assert (done.returncode, "SWIFT-BUNDLE-" in done.stderr, done.stdout) == (1, True, ""), done.stderr
    assert not (tmp_path / "target").exists()


def test_the_index_must_be_the_one_that_was_told(tmp_path, files):
    path = bundle(tmp_path / "b.pyz", files)
    digest = installer.Bundle(path).digest
    assert run(path, "--sha256", digest, "check").returncode == 0
    rewritten(path, lambda members: reindexed(members, lambda index: index.update(name="other")))
    assert run(path, "check").returncode == 0  # whoever rewrites the index too is noticed by its hash alone
    assert run(path, "--sha256", digest, "check").returncode == 1


def test_a_failed_installation_leaves_nothing(tmp_path, files):
    path = bundle(tmp_path / "b.pyz", files)  # it has no wheels
    assert run(path, "install", "target").returncode == 1
    assert not (tmp_path / "target").exists()
    (tmp_path / "taken").mkdir()
    assert "SWIFT-BUNDLE-" in run(path, "install", "taken").stderr


def test_our_wheels_are_those_that_run(tmp_path):
    wheel = write_wheel(distribution("swift-provenance"), tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        record = archive.read("swift_provenance-0.1.0.dist-info/RECORD").decode()
    assert {"swift_provenance/lineage.py", "swift_provenance-0.1.0.dist-info/METADATA"} <= names
    assert len(record.splitlines()) == len(names)
    words = ["install", "--no-deps", "--no-index", "--target", tmp_path / "there", wheel]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    assert (tmp_path / "there" / "swift_provenance" / "lineage.py").is_file()
    assert write_wheel(distribution("swift-provenance"), tmp_path).read_bytes() == wheel.read_bytes()


RECIPE = """
steps:
  - {id: base, run: fetch, model: tiny}
  - {id: tuned, run: sft, model: "${base.output}", dataset: [data/rows.jsonl], max_steps: 1}
  - {id: server, run: serve, model: "${tuned.output}"}
"""


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_model):
    (tmp_path / "tiny").symlink_to(tiny_model)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(json.dumps({"prompt": "Say a.", "response": "a"}) + "\n")
    (tmp_path / "data" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_takes_along_what_it_needs(project):
    steps, found = contents_of(project / "recipe.yaml")
    assert {"work/recipe.yaml", "work/data/rows.jsonl", "work/data/README.md", "work/tiny/model.safetensors"} <= set(found.files)
    assert [each["name"] for each in found.checkpoints] == ["file:tiny"]
    assert [(each["name"], each["licence"]) for each in found.data] == [("data/rows.jsonl", "mit")]
    own, engines = roots(steps, found)
    assert {"swift-core", "swift-train", "swift-serve", "swift-recipes", "swift-plugin-peft", "swift-plugin-datasets"} <= set(own)
    assert "swift-plugin-megatron" not in own
    assert any(each.startswith("torch") for each in [*engines, *third_party([distribution(name) for name in own])])


def test_what_cannot_be_carried_is_refused(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "rows.jsonl"
    elsewhere.write_text((project / "data" / "rows.jsonl").read_text())
    (project / "recipe.yaml").write_text(RECIPE.replace("data/rows.jsonl", str(elsewhere)))
    code, _, err = swift_here(project, "bundle", "create", "recipe.yaml", "--dry-run")
    assert (code, "SWIFT-BUNDLE-" in err, "recipe.yaml:4" in err) == (2, True, True)
    assert swift_here(project, "bundle", "create", "recipe.yaml", "--split", "12")[0] == 2
    (project / "recipe.pyz").write_text("")
    assert swift_here(project, "bundle", "create", "recipe.yaml")[0] == 2
