"""The API reference has every class that crosses the API, and says of every field of a dataclass what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_every_field_of_a_public_dataclass_is_described():
    code = "import api_pages; print('\\n'.join(api_pages.undescribed()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=DOCS, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


CLASSES = (
    "Serving Command Server Scores Engine Loading Loaded Run RunResult VerbSpec Backend Evaluator Launcher Hub Dataset Tuner Draft Context "
    "Report Micro SupervisedText LossTask Encoder Strategy Update Client Parity ChatEngine Sampling Token Piece Limits"
)


def test_the_classes_that_cross_the_api_have_a_section():
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference" / "api").glob("*.md"))
    assert [name for name in CLASSES.split() if f"\n### {name}\n" not in text] == []
