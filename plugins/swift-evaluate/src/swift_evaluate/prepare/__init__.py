"""Local benchmark files in their original formats, laid out so that every evaluator can read them.

A prepared benchmark is a folder in the layout of the `datasets` library: README.md names the splits of each subset, which are JSON Lines
files with the fields of the benchmark's hub repository. Each row also has an `id`, which is the same in every evaluator.
"""

from __future__ import annotations

from swift_evaluate.prepare.folder import PreparedBenchmark, read_prepared
from swift_evaluate.prepare.formats import FORMATS, question_text
from swift_evaluate.prepare.problems import task_problems
from swift_evaluate.prepare.write import prepare

__all__ = ["FORMATS", "PreparedBenchmark", "prepare", "question_text", "read_prepared", "task_problems"]
