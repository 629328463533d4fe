"""Recipes, several runs from one YAML file, and the report page of a run."""

from __future__ import annotations
