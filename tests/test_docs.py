"""The docs say what the code does: generated pages, hooks with their exact signatures, links, and the help of every command."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import click
import pytest

from swift_core import SwiftError
from swift_core.contract import hookspecs
from tests import doc_commands

ROOT = Path(__file__).parent.parent  # whether the generated pages are current is checked by `make lint`
HOOKS = [function for name, function in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("swift_")]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_is_documented_with_its_signature(hook):
    page = (ROOT / "docs" / "reference" / "hooks.md").read_text()
    assert f"## {hook.__name__}({', '.join(inspect.signature(hook).parameters)})" in page
    assert len(inspect.getdoc(hook) or "") > 30


PAGES = [page for page in doc_commands.pages() if any(doc_commands.commands(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one_that_the_command_line_takes(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text()
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
    (tmp_path / "tokens.txt").write_text("<tool>\n")
    (tmp_path / "sft.yaml").write_text(textwrap.dedent(re.search(r"swift sft sft.yaml`:\n\n((?:    .*\n)+)", readme)[1]))
    wrong = []
    for shown, words in doc_commands.commands(page):
        try:
            doc_commands.parsed(words, fragment=f"`swift {shown}`" in page.read_text())
        except (SwiftError, click.ClickException) as error:
            wrong.append(f"swift {shown}\n    {error}")
    assert not wrong, "\n".join(wrong)


def test_the_spellings_of_ms_swift_are_taken():
    reported = list(doc_commands.theirs(ROOT / "docs/how-to/from-ms-swift.md"))
    assert len(reported) > 8
    for words in reported:
        doc_commands.parsed(words, fragment=True)


def test_the_commands_of_the_docs_are_found():
    found = [shown for page in PAGES for shown, _ in doc_commands.commands(page)]
    assert len(found) > 150
    assert any(" --tuner.targets" in shown or " --target_modules" in shown for shown in found)


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
