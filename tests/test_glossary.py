"""The glossary has the terms that the docs use, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs/reference/glossary.md"
TERMS = re.findall(r"^- \*\*(.+?)\*\*: ", GLOSSARY.read_text(encoding="utf-8"), flags=re.MULTILINE)
PAGES = [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if page != GLOSSARY and "decisions" not in page.parts)]


def test_the_terms_are_sorted_and_explained_once():
    assert len(TERMS) > 40
    assert sorted(TERMS, key=lambda term: term.lower()) == TERMS
    assert len(set(TERMS)) == len(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_the_docs_use_the_term(term):
    words = re.compile(r"\s+".join(map(re.escape, term.split())), re.IGNORECASE)
    assert any(words.search(page.read_text(encoding="utf-8")) for page in PAGES)


@pytest.mark.parametrize("page", ["docs/index.md", "docs/explanation/architecture.md", "docs/explanation/training.md"])
def test_pages_link_to_the_glossary(page):
    assert "reference/glossary.md" in (ROOT / page).read_text(encoding="utf-8")
