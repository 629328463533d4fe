"""The tutorial on plugins is run as it is written, the examples in the hooks' pages do what they say, and every fixture is documented."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from swift_testing import rig

from swift_core.contract import hookspecs

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial" / "write-a-plugin.md"
DIARY = ROOT / "docs" / "examples" / "run_diary.py"
HOOKS = [name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("swift_")]


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.full("plugins")
def test_the_tutorial_runs_as_it_is_written(tmp_path):
    """Files are written where they say, commands run one after another in one shell that stops at the first failure."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    here = next(path for path in sys.path if path.endswith("site-packages"))
    shutil.rmtree(site / "setuptools")  # an old one, that would hide ours
    for info in site.glob("setuptools-*.dist-info"):
        shutil.rmtree(info)
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    shutil.copy(Path(sys.executable).with_name("swift"), home / "bin" / "swift")
    program = (home / "bin" / "swift").read_text().splitlines()
    (home / "bin" / "swift").write_text("\n".join([f"#!{home}/bin/python", *program[1:]]))
    (home / "bin" / "pytest").write_text(f'#!/bin/sh\nexec {home}/bin/python -m pytest -p no:cacheprovider "$@"\n')
    (home / "bin" / "pytest").chmod(0o755)
    script = ["set -eux"]
    written = ran = 0
    for language, text in blocks(TUTORIAL.read_text(encoding="utf-8")):
        if language == "sh":
            script.append(text)
            ran += 1
        else:
            first, rest = text.split("\n", 1)
            name = re.fullmatch(r"# file: (\S+)", first)
            assert name, f"a block that is neither run nor written: {first}"
            script.append(f"cat > {name[1]} <<'END-OF-FILE'\n{rest}END-OF-FILE")
            written += 1
    assert (ran, written) == (7, 7)
    (tmp_path / "work").mkdir()
    env = {**os.environ, "PATH": f"{home}/bin:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    env |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # nothing is downloaded: what it needs is here
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=tmp_path / "work", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "local file" in done.stdout
    assert "--dataset.verse.by" in done.stdout


def test_the_family_of_the_tutorial_is_the_one_in_contrib():
    source = (ROOT / "contrib" / "swift-plugin-smollm2" / "src" / "swift_plugin_smollm2" / "__init__.py").read_text(encoding="utf-8")
    assert f"```python\n# file: smollm.py\n{source}```" in TUTORIAL.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_diary_is_kept(swift, tiny_model):
    (swift.folder / "rows.jsonl").write_text('{"text": "One and two and three."}\n')
    words = ("pretrain", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu")
    outcome = swift("--plugin", str(DIARY), *words, "--max-steps", "2")
    assert outcome.code == 0, outcome.err
    (diary,) = swift.folder.glob("runs/*/diary.txt")
    lines = diary.read_text().splitlines()
    assert lines[0] == f"pretrain of file:{tiny_model}"
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["step 1", "step 2"]
    assert lines[-1].startswith("done ")
    assert "this will take a while" in swift("--plugin", str(DIARY), *words, "--max-steps", "2000", "--dry-run").err
    refused = swift("--plugin", str(DIARY), *words, "--max-steps", "200000", "--dry-run")
    assert refused.code == 2
    assert "200000 steps are more than this machine is for" in refused.err


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_page_with_signature_and_example(name):
    page = (ROOT / "docs" / "reference" / "hooks" / f"{name}.md").read_text()
    hook = getattr(hookspecs, name)
    assert page.startswith(f"# {name}({', '.join(inspect.signature(hook).parameters)})\n")
    code = [text for language, text in blocks(page) if language == "python"]
    assert any(f"def {name}(" in text for text in code[1:])
    for text in code:
        compile(text, name, "exec")


def test_every_hook_is_in_the_life_cycle():
    page = (ROOT / "docs" / "explanation" / "plugins.md").read_text()
    for name in ("swift_check", "swift_run_started", "swift_metrics", "swift_run_finished", "swift_hubs", "swift_datasets"):
        assert name in page
    assert "```mermaid\nsequenceDiagram" in page


def test_every_fixture_is_documented():
    page = (ROOT / "docs" / "how-to" / "test-a-plugin.md").read_text()
    fixtures = [name for name, value in vars(rig).items() if type(value).__name__ == "FixtureFunctionDefinition"]
    assert {"tiny_model", "tiny_vlm", "fake_engine", "swift_project", "inline_plugin"} == set(fixtures)
    assert all(f"| `{name}` |" in page for name in fixtures)
