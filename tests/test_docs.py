"""The docs say what the code does: generated pages, hooks with their exact signatures, links, and the help of every command."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swift_core import hookspecs

ROOT = Path(__file__).parent.parent
HOOKS = [function for name, function in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("swift_")]


def test_the_generated_pages_are_current():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_is_documented_with_its_signature(hook):
    page = (ROOT / "docs" / "reference" / "hooks.md").read_text()
    assert f"## {hook.__name__}({', '.join(inspect.signature(hook).parameters)})" in page
    assert len(inspect.getdoc(hook) or "") > 30


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_every_distribution_has_a_readme_and_only_lower_bounds():
    import tomllib

    for path in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml")]:
        project = tomllib.loads(path.read_text())["project"]
        assert len((path.parent / project["readme"]).read_text()) > 200, path
        for requirement in project["dependencies"]:
            assert not re.search(r"==|<|~=", requirement), f"{path}: {requirement}"
