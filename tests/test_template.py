"""`swift plugins new`: each kind is made, installed, passes its own tests, keeps what the conformance kit checks, and is used.

In the ordinary suite a few kinds are on the path with their metadata, and tests that start a training are left out; in the lane `plugins`
pip installs each kind into an environment of its own, and nothing is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from swift_testing import scaffold
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError

ROOT = Path(__file__).parent.parent
FEW = {  # that the ordinary suite makes, a start of torch each: which of its tests
    "callback": "not test_swift and not conformance",
    "tuner": "not test_swift and not conformance",
    "task": "not test_swift and (not conformance or aliases)",
    "loader": "not test_swift and not conformance",
    "dataset": "",
    "command": "",
}


def make(swift, kind: str, name: str = "trial") -> Path:
    outcome = swift("plugins", "new", name, "--kind", kind)
    assert outcome.code == 0, outcome.err
    assert "pip install -e '.[test]'" in outcome.out
    return swift.folder / f"swift-plugin-{name}"


def put_on_path(project: Path) -> dict[str, str]:
    """What `pip install -e` leaves: the sources on the path, and a dist-info with the entry point; as variables of a process."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    groups = about["entry-points"].items()
    info = project / "src" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    lines = (line for group, points in groups for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items())))
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}


def passes(project: Path, python: str, env: dict[str, str], *words: str) -> None:
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=project, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def is_listed(project: Path, swift: list[str], kind: str, env: dict[str, str]) -> None:
    words = ["plugins"] if kind == "command" else ["plugins", "show", project.name.removeprefix(scaffold.PREFIX)]
    shown = subprocess.run([*swift, *words], env={**os.environ, "COLUMNS": "200", **env}, capture_output=True, text=True, check=True).stdout
    assert project.name in shown
    assert "BROKEN" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEW)
def test_what_is_made_passes_its_own_tests(kind, swift):
    project = make(swift, kind)
    env = put_on_path(project)
    passes(project, sys.executable, env, *(["-k", FEW[kind]] if FEW[kind] else []))
    swift.env |= env
    is_listed(project, [sys.executable, "-m", "swift_core.cli"], kind, swift.env)


@pytest.mark.full("plugins")
@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_what_is_made_installs_passes_everything_and_is_checked(kind, swift):
    """pip, from the built wheel's own metadata, in an environment that sees what is installed here."""
    project = make(swift, kind, "my-trial" if kind != "hub" else "trial")
    venv.create(project / ".venv", system_site_packages=False, with_pip=True, symlinks=True)
    python = str(project / ".venv" / "bin" / "python")
    site = next((project / ".venv").glob("lib/python*/site-packages"))
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", "."], cwd=project, check=True)
    passes(project, python, {"OMP_NUM_THREADS": "1"})
    line = [python, "-m", "swift_core.cli"]
    is_listed(project, line, kind, {})
    done = subprocess.run([*line, "plugins", "check", project.name], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_of_several_words_is_right_everywhere(swift):
    project = make(swift, "tuner", "my-own-tuner")
    assert (project / "src" / "swift_plugin_my_own_tuner" / "tuner.py").is_file()
    assert 'name="my-own-tuner"' in (project / "src" / "swift_plugin_my_own_tuner" / "__init__.py").read_text()
    assert "class MyOwnTuner(" in (project / "src" / "swift_plugin_my_own_tuner" / "tuner.py").read_text()
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["name"] == "swift-plugin-my-own-tuner"
    assert about["entry-points"] == {"swift.plugins": {"my-own-tuner": "swift_plugin_my_own_tuner"}}
    assert about["dependencies"] == ["swift-core>=0.1", "swift-train>=0.1"]


@pytest.mark.parametrize("kind", scaffold.KINDS)
def test_nothing_of_the_template_is_left_over(kind, tmp_path):
    scaffold.write(kind, "trial", tmp_path / "made")
    files = [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert not [path for path in files if "acme" in str(path).lower() or "acme" in path.read_text().lower()]
    names = {str(path.relative_to(tmp_path / "made")) for path in files}
    assert {"pyproject.toml", "README.md", ".github/workflows/ci.yml", "tests/test_trial.py"} <= names
    assert "${{ matrix.python }}" in (tmp_path / "made" / ".github/workflows/ci.yml").read_text()


BAD = {
    "My Tuner": "Try 'my-tuner'.",
    "9lives": "Try something like 'my-tuner'.",
    "a--b": "Try 'a-b'.",
    "über": "",
    "../etc": "Try 'etc'.",
    "swift-plugin-": "Try something like 'my-tuner'.",
    "x" * 41: "Try something like 'my-tuner'.",
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none_are_refused(name):
    with pytest.raises(UsageError, check=coded("TEST-007")) as caught:
        scaffold.plugin_name(name)
    assert BAD[name] in caught.value.hint


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("lora", "tuner", "there is a tuner 'lora' already"),
        ("ddp", "parallel", "there is a parallel 'ddp' already"),
        ("peft", "hub", "there is a plugin 'peft' already"),
        ("swift-plugin-vllm", "dataset", "there is a plugin 'vllm' already"),
        ("infer", "command", "there is a command 'infer' already"),
        ("my-hub", "hub", "'my-hub' can't be used as a reference scheme"),
        ("x", "engine", "'engine' is not one of"),
        ("x", "famly", "Did you mean 'family'?"),
    ],
)
def test_names_that_would_clash_are_refused(name, kind, message, swift):
    outcome = swift("plugins", "new", name, "--kind", kind)
    assert outcome.code == 2
    assert message in outcome.err
    assert not list(swift.folder.glob("swift-plugin-*"))


def test_one_of_your_own_can_be_made_anew(swift):
    swift.env |= put_on_path(make(swift, "dataset"))
    refused = swift("plugins", "new", "trial", "--kind", "dataset", "--overwrite").err
    assert "pip uninstall swift-plugin-trial, then use --overwrite." in refused
    assert "uninstall" not in swift("plugins", "new", "peft", "--kind", "tuner").err


def test_an_existing_folder_is_kept_without_overwrite(swift):
    project = make(swift, "dataset")
    (project / "mine.txt").write_text("work of a week")
    outcome = swift("plugins", "new", "trial", "--kind", "dataset")
    assert outcome.code == 2
    assert "SWIFT-FILE-004" in outcome.err
    assert (project / "mine.txt").is_file()
    assert swift("plugins", "new", "trial", "--kind", "dataset", "--overwrite").code == 0
    assert not (project / "mine.txt").exists()
