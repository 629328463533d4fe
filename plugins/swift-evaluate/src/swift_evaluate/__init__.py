"""Evaluation of a checkpoint or a server by an evaluator, behind the verb `eval`."""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
