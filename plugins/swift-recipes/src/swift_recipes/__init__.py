"""Recipes (several runs from one YAML file), and the HTML report of a run."""

from __future__ import annotations
