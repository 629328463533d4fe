"""The evaluator `own-data`: the user's own questions from files, scored by metrics."""

from __future__ import annotations
