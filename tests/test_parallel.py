"""Every strategy learns what one process learns: the table of docs/reference/parallel.md, made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "docs" / "parallel.py"


@pytest.mark.full("parallel")
def test_no_strategy_is_further_from_one_process_than_the_bound():
    done = subprocess.run([sys.executable, SCRIPT], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if "BEYOND" in line) or done.stderr[-3000:]
