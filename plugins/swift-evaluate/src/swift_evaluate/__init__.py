"""Evaluation of a checkpoint or a server by an evaluator, behind the verb `eval`."""

from __future__ import annotations
